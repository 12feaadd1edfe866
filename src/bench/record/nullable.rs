//! JSON has no NaN and no infinity: both are written as null, and null is read as NaN.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
struct Number(Option<f64>);

impl Number {
    fn value(self) -> f64 {
        self.0.unwrap_or(f64::NAN)
    }
}

pub(super) fn one<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Number::deserialize(from)?.value())
}

pub(super) fn pair<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(f64, f64)>, D::Error> {
    let pair = Option::<(Number, Number)>::deserialize(from)?;
    Ok(pair.map(|(low, high)| (low.value(), high.value())))
}

pub(super) fn many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    Ok(Vec::<Number>::deserialize(from)?.into_iter().map(Number::value).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Point;

    #[test]
    fn what_is_no_number_comes_back_as_nan() {
        let point = Point { x: 1.5, y: f64::INFINITY, range: Some((0.5, f64::NAN)) };
        let json = serde_json::to_string(&point).unwrap();
        assert_eq!(json, r#"{"x":1.5,"y":null,"range":[0.5,null]}"#);
        let read: Point = serde_json::from_str(&json).unwrap();
        assert!(read.x == 1.5 && read.y.is_nan());
        assert!(read.range.is_some_and(|(low, high)| low == 0.5 && high.is_nan()));
        let bare: Point = serde_json::from_str(r#"{"x":1,"y":2}"#).unwrap();
        assert_eq!(bare, Point { x: 1.0, y: 2.0, range: None });
    }
}

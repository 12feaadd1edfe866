//! Operators on values that are known without the input: comparisons, arithmetic, lists and text.

use super::arguments::Arguments;
use super::value::Value;
use crate::model::ModelError;

/// What becomes of arithmetic with a number that is not known.
const COMPUTED: &str = "a number that depends on the input";

/// What the operator makes of values none of which is a tensor.
pub(super) fn call(name: &str, call: &Arguments) -> Result<Value, ModelError> {
    match (name, &call.values[..]) {
        ("warn", _) => Ok(Value::None),
        ("format", [text, ..]) => Ok(text.clone()),
        ("device", [text @ Value::Text(_)]) => Ok(text.clone()),
        ("len", [Value::List(list)]) => Ok(Value::Int(list.values.len() as i64)),
        ("NumToTensor" | "Int" | "Float" | "unchecked_unwrap_optional", [value])
        | ("_unwrap_optional" | "ScalarImplicit", [value]) => Ok(value.clone()),
        ("__not__", [Value::Bool(truth)]) => Ok(Value::Bool(!truth)),
        ("neg", [Value::Int(int)]) => Ok(int.checked_neg().map_or(unknown(), Value::Int)),
        ("neg", [Value::Float(float)]) => Ok(Value::Float(-float)),
        (_, [left, right]) => binary(name, left, right).ok_or_else(|| not_known(call)),
        (_, [Value::Batch | Value::Unknown(_)]) => Ok(unknown()),
        _ => Err(not_known(call)),
    }
}

/// Whether both are the same object: code asks it of None.
pub(super) fn is_same(left: &Value, right: &Value) -> Value {
    match (left, right) {
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => unknown(),
        (Value::Bool(left), Value::Bool(right)) => Value::Bool(left == right),
        (left, right) => Value::Bool(matches!((left, right), (Value::None, Value::None))),
    }
}

/// The number or truth that a call such as `int(x)` makes of a known value.
pub(super) fn cast(to: &str, value: &Value) -> Option<Value> {
    Some(match (to, value) {
        (_, Value::Batch) if to == "int" => Value::Batch,
        (_, Value::Batch | Value::Unknown(_)) => unknown(),
        ("int", Value::Bool(truth)) => Value::Int(i64::from(*truth)),
        ("int", Value::Float(float)) if float.abs() < 9e18 => Value::Int(*float as i64),
        ("int", Value::Int(_)) | ("float", Value::Float(_)) | ("bool", Value::Bool(_)) => {
            value.clone()
        }
        ("float", Value::Int(int)) => Value::Float(*int as f64),
        ("float", Value::Bool(truth)) => Value::Float(f64::from(u8::from(*truth))),
        ("bool", Value::Int(int)) => Value::Bool(*int != 0),
        ("bool", Value::Float(float)) => Value::Bool(*float != 0.0),
        _ => return None,
    })
}

fn unknown() -> Value {
    Value::Unknown(COMPUTED)
}

fn not_known(call: &Arguments) -> ModelError {
    let kinds: Vec<_> = call.values.iter().take(4).map(Value::kind).collect();
    call.refuse(format!("it is not run on {}", kinds.join(", ")))
}

fn binary(name: &str, left: &Value, right: &Value) -> Option<Value> {
    match (left, right) {
        (Value::Batch | Value::Unknown(_), _) | (_, Value::Batch | Value::Unknown(_)) => {
            Some(unknown())
        }
        (Value::Bool(left), Value::Bool(right)) => truths(name, *left, *right).map(Value::Bool),
        (Value::Int(left), Value::Int(right)) => integers(name, *left, *right),
        (Value::Text(left), Value::Text(right)) => equality(name, left == right),
        (left, right) => numbers(name, number(left)?, number(right)?),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

fn truths(name: &str, left: bool, right: bool) -> Option<bool> {
    Some(match name {
        "eq" | "__is__" => left == right,
        "ne" | "__isnot__" | "__xor__" => left != right,
        "__and__" => left && right,
        "__or__" => left || right,
        _ => return None,
    })
}

fn equality(name: &str, is_equal: bool) -> Option<Value> {
    match name {
        "eq" => Some(Value::Bool(is_equal)),
        "ne" => Some(Value::Bool(!is_equal)),
        _ => None,
    }
}

fn integers(name: &str, left: i64, right: i64) -> Option<Value> {
    let result = match name {
        "eq" => return Some(Value::Bool(left == right)),
        "ne" => return Some(Value::Bool(left != right)),
        "lt" => return Some(Value::Bool(left < right)),
        "le" => return Some(Value::Bool(left <= right)),
        "gt" => return Some(Value::Bool(left > right)),
        "ge" => return Some(Value::Bool(left >= right)),
        "div" => return numbers(name, left as f64, right as f64),
        "add" => left.checked_add(right),
        "sub" => left.checked_sub(right),
        "mul" => left.checked_mul(right),
        // Python rounds towards minus infinity; what is negative here is no size.
        "floordiv" if left >= 0 && right > 0 => left.checked_div(right),
        "remainder" if left >= 0 && right > 0 => left.checked_rem(right),
        "min" => Some(left.min(right)),
        "max" => Some(left.max(right)),
        _ => return None,
    };
    Some(result.map_or(unknown(), Value::Int))
}

fn numbers(name: &str, left: f64, right: f64) -> Option<Value> {
    Some(match name {
        "eq" => Value::Bool(left == right),
        "ne" => Value::Bool(left != right),
        "lt" => Value::Bool(left < right),
        "le" => Value::Bool(left <= right),
        "gt" => Value::Bool(left > right),
        "ge" => Value::Bool(left >= right),
        "add" => Value::Float(left + right),
        "sub" => Value::Float(left - right),
        "mul" => Value::Float(left * right),
        "div" => Value::Float(left / right),
        "pow" => Value::Float(left.powf(right)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    fn told(name: &str, values: &[Value]) -> Result<String, ModelError> {
        let arguments = Arguments {
            op: Rc::from(format!("torch.{name}")),
            file: Rc::from("f.py"),
            line: 3,
            values: values.to_vec(),
            keywords: vec![],
        };
        call(name, &arguments).map(|value| format!("{value:?}"))
    }

    #[test]
    fn operators_by_hand() {
        use Value::{Batch, Bool, Float, Int};
        let text = |text: &str| Value::Text(Rc::from(text));
        let list = Value::list(vec![Batch, Int(3)]);
        let table: Vec<(&str, Vec<Value>, &str)> = vec![
            ("eq", vec![Int(2), Int(2)], "Bool(true)"),
            ("ne", vec![text("a"), text("b")], "Bool(true)"),
            ("lt", vec![Float(0.5), Int(1)], "Bool(true)"),
            ("ge", vec![Int(1), Int(2)], "Bool(false)"),
            ("add", vec![Int(2), Float(0.5)], "Float(2.5)"),
            ("mul", vec![Int(28), Int(28)], "Int(784)"),
            ("floordiv", vec![Int(7), Int(2)], "Int(3)"),
            ("div", vec![Int(1), Int(2)], "Float(0.5)"),
            ("neg", vec![Int(1)], "Int(-1)"),
            ("len", vec![list], "Int(2)"),
            ("__not__", vec![Bool(true)], "Bool(false)"),
            ("__and__", vec![Bool(true), Bool(false)], "Bool(false)"),
            ("format", vec![text("{}"), Int(1)], "Text(\"{}\")"),
            ("mul", vec![Batch, Int(2)], "Unknown(\"a number that depends on the input\")"),
            ("add", vec![Int(i64::MAX), Int(1)], "Unknown(\"a number that depends on the input\")"),
        ];
        for (name, values, expected) in table {
            assert_eq!(told(name, &values).unwrap(), expected, "{name}");
        }
        let error = told("floordiv", &[Int(1), Int(0)]).unwrap_err().to_string();
        let expected = "node 'f.py:3' (torch.floordiv): it is not run on an integer, an integer";
        assert_eq!(error, expected);
    }

    #[test]
    fn none_is_only_itself() {
        let of_none = |value: &Value| format!("{:?}", is_same(value, &Value::None));
        assert_eq!(of_none(&Value::None), "Bool(true)");
        assert_eq!(of_none(&Value::Computed(0)), "Bool(false)");
        assert!(of_none(&Value::Unknown("a")).starts_with("Unknown"));
    }
}

//! The page as a whole: that it is well formed, needs nothing else, and takes whatever it is given.

use super::super::{Axis, Bar, Chart, Curve, Drawing, Point, Ratio, Stroke, example};
use super::*;

/// Fails where a tag is not closed in turn, an attribute has no quotes, or text holds a bracket.
#[track_caller]
fn assert_well_formed(page: &str) {
    let mut rest = page.strip_prefix("<!doctype html>").unwrap_or(page);
    if let Some((head, after)) = rest.split_once("<style>") {
        let (style, after) = after.split_once("</style>").expect("the end of the style");
        assert!(!style.contains('<'), "a tag in the style");
        assert_tags(head, after);
        return;
    }
    rest = rest.trim();
    assert_tags(rest, "");
}

fn assert_tags(head: &str, rest: &str) {
    let mut open: Vec<&str> = Vec::new();
    let markup = format!("{head}{rest}");
    let mut pieces = markup.split('<');
    assert!(!pieces.next().unwrap().contains('>'));
    for piece in pieces {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("unended: {piece}"));
        assert!(!text.contains('>'), "a bracket in {text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag}");
        let outside: String = tag.split('"').step_by(2).collect();
        assert_eq!(outside.matches('=').count(), tag.matches('"').count() / 2, "{tag}");
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[track_caller]
fn assert_self_contained(page: &str) {
    for word in ["http", "src=", "url(", "<script", "@import", "href=\"/", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
}

/// Where `FUSEWIRE_PAGE` names a folder, the record is left there to be looked at.
#[test]
fn the_page_needs_nothing_else_and_says_everything() {
    let mut record = example::record();
    let page = html(&record);
    assert_well_formed(&page);
    assert_self_contained(&page);
    let texts = ["What was found", "21.5 times faster", "Roofline", "Intel(R) Xeon(R)", "8481C"];
    let more = ["latency.cuda.batch=1.p50_us", "0.04 %", "0.31", "NVIDIA H200", "0x5eed", "f32"];
    for text in texts.into_iter().chain(more) {
        assert!(page.contains(text), "{text}");
    }
    let charts: usize = record.sections.iter().map(|section| section.charts.len()).sum();
    assert_eq!(page.matches("role=\"img\"").count(), charts);
    assert_eq!(page.matches("<desc>").count(), charts);
    assert!(!page.contains("class=\"warning\""));
    record.environment.stolen_share = Some(0.02);
    assert_eq!(html(&record).matches("class=\"warning\"").count(), 2);
    if let Some(folder) = std::env::var_os("FUSEWIRE_PAGE") {
        example::record().write(folder.as_ref()).unwrap();
    }
}

#[test]
fn names_from_files_stay_text() {
    let hostile = "</title></style><script>alert('&')</script>\" onload=\"x <b>\u{202e}\0";
    let json = serde_json::to_value(example::record()).unwrap();
    let mut record: crate::bench::record::Record =
        serde_json::from_value(poisoned(&json, hostile)).unwrap();
    record.format = 1;
    let page = html(&record);
    assert_well_formed(&page);
    assert_self_contained(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"));
    assert!(!page.contains(['\0', '\u{202e}']));
}

/// The document with every text in it replaced, but for the words that the format knows.
fn poisoned(json: &serde_json::Value, by: &str) -> serde_json::Value {
    use serde_json::Value;
    const KNOWN: [&str; 8] =
        ["curves", "bars", "ratios", "marked", "points", "reference", "lower", "higher"];
    match json {
        Value::String(text) if !KNOWN.contains(&&**text) => Value::from(by),
        Value::Array(items) => items.iter().map(|item| poisoned(item, by)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), poisoned(value, by)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

const ODD: [f64; 12] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN_POSITIVE,
    -1.0,
    0.0,
    -0.0,
    1e-9,
    1.0,
    1e18,
    5e-324,
];

fn assert_sound(drawing: Drawing) {
    let words = format!("{drawing:.300?}");
    let figure = chart::figure(&Chart { title: String::from("x"), drawing });
    assert_well_formed(&figure);
    let drawn = figure.contains("role=\"img\"");
    assert!(drawn != figure.contains("There is no value to draw"), "{words}");
    assert!(!figure.contains("NaN") && !figure.contains("inf\""), "{words}");
}

#[test]
fn any_numbers_make_a_sound_page() {
    let pairs = || ODD.into_iter().flat_map(|a| ODD.into_iter().map(move |b| (a, b)));
    for is_log in [false, true] {
        let axis = || Axis { label: String::from("us"), is_log };
        for stroke in [Stroke::Marked, Stroke::Points, Stroke::Reference] {
            let point = |(x, y)| Point { x, y, range: Some((y, x)) };
            let curve = |points: Vec<Point>| Curve { name: String::from("a"), stroke, points };
            let drawing =
                |points| Drawing::Curves { x: axis(), y: axis(), curves: vec![curve(points)] };
            pairs().for_each(|pair| assert_sound(drawing(vec![point(pair)])));
            assert_sound(drawing(Vec::new()));
            assert_sound(drawing(pairs().map(point).collect()));
            assert_sound(drawing(vec![point((1.0, 1.0)); 100]));
        }
        for (value, other) in pairs() {
            let name = String::from("n");
            let bar = Bar { name: name.clone(), values: vec![value, other] };
            let none = Bar { name: name.clone(), values: Vec::new() };
            let parts = vec![name.clone()];
            assert_sound(Drawing::Bars { value: axis(), parts, bars: vec![bar, none] });
            let ratio = Ratio { name: name.clone(), value, interval: Some((other, value)) };
            assert_sound(Drawing::Ratios { value: axis(), ratios: vec![ratio] });
        }
        let empty = Drawing::Bars { value: axis(), parts: Vec::new(), bars: Vec::new() };
        assert_sound(empty);
        assert_sound(Drawing::Ratios { value: axis(), ratios: Vec::new() });
        assert_sound(Drawing::Curves { x: axis(), y: axis(), curves: Vec::new() });
    }
}

#[test]
fn forty_curves_and_long_names_make_a_sound_page() {
    let name = |index: usize| format!("{index} {}", "very long name ".repeat(40));
    let points = |index: usize| {
        let point = |x| Point { x: f64::from(x), y: index as f64, range: None };
        (1..50).map(point).collect()
    };
    let curve = |index| Curve { name: name(index), stroke: Stroke::Marked, points: points(index) };
    let curves = (0..40).map(curve).collect();
    let axis = || Axis::linear(name(0));
    let drawing = Drawing::Curves { x: axis(), y: axis(), curves };
    let figure = chart::figure(&Chart { title: name(1), drawing });
    assert_well_formed(&figure);
    assert_eq!(figure.matches("<li>").count(), 40);
    let bars = (0..40).map(|index| Bar { name: name(index), values: vec![1.0; 40] }).collect();
    let parts = (0..40).map(name).collect();
    assert_sound(Drawing::Bars { value: axis(), parts, bars });
}

#[test]
fn what_is_not_well_formed_is_noticed() {
    let is_caught =
        |markup: &'static str| std::panic::catch_unwind(|| assert_well_formed(markup)).is_err();
    assert!(!is_caught("<p class=\"a\">b<br/></p>"));
    for wrong in ["<p>", "<p></b>", "<p>a > b</p>", "<p class=a></p>", "<p a=\"></p>", "<a", "</p>"]
    {
        assert!(is_caught(wrong), "{wrong}");
    }
}

//! What the runner and a peer say to each other: one JSON document a line, a request on the peer's
//! standard input and its answer on its standard output. Peers in Python speak it, too.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a peer says first, without being asked.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Hello {
    /// It has loaded the network.
    Ready {
        /// Its runtime and the version.
        version: String,
    },
    /// It cannot take part here: not installed, or its runtime lacks what the network needs.
    Missing(String),
    /// It broke down.
    Failed(String),
}

/// What the runner asks for.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub struct Request {
    /// Rows a call.
    pub batch: usize,
    /// How long to call, again and again, a tenth more to warm up left out; none to run every row
    /// once and write the scores to the peer's file.
    pub seconds: Option<f64>,
}

/// What a peer answers.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How many calls took how many nanoseconds; no entry where scores were asked for.
    Took(BTreeMap<u64, u64>),
    /// It broke down.
    Failed(String),
}

/// Why a peer cannot take part: it is not there, or lacks what the network needs.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

#[test]
fn lines_are_those_that_python_writes_and_reads() {
    let line = |request| serde_json::to_string(&request).unwrap();
    assert_eq!(line(Request { batch: 10, seconds: None }), r#"{"batch":10,"seconds":null}"#);
    assert_eq!(line(Request { batch: 1, seconds: Some(0.5) }), r#"{"batch":1,"seconds":0.5}"#);
    let hello: Hello = serde_json::from_str(r#"{"ready": {"version": "a 1"}}"#).unwrap();
    assert_eq!(hello, Hello::Ready { version: String::from("a 1") });
    let hello: Hello = serde_json::from_str(r#"{"missing": "no"}"#).unwrap();
    assert_eq!(hello, Hello::Missing(String::from("no")));
    let answer: Answer = serde_json::from_str(r#"{"took": {"900": 3, "1000": 1}}"#).unwrap();
    assert_eq!(answer, Answer::Took([(900, 3), (1000, 1)].into()));
}

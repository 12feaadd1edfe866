//! Rows and labels as text.

use std::io::Write;
use std::process::Stdio;

use super::{Files, classes, command, error, files, json, model, stdout, text};

/// Rows whose classes are 1, 2, 0, under names.
const ROWS: &str = "\
a,b,c,d
0,1,0.2,9
0.5,6e-1,0.75,-4
7,6,.5,255
";

/// A model and a file of this text; the classes that come out.
fn classified(name: &str, text: &[u8], more: &[&str]) -> Vec<u64> {
    let files = Files::new();
    let (model, rows) = (files.model("m.safetensors", &model()), files.write(name, text));
    classes(&json(&[&["classify", &model, &rows, "--backend", "cpu"][..], more].concat()))
}

fn refused(text: &[u8], more: &[&str], part: &str) {
    let files = Files::new();
    let (model, rows) = (files.model("m.safetensors", &model()), files.write("rows.csv", text));
    let line = error(1, &[&["classify", &model, &rows, "--backend", "cpu"][..], more].concat());
    assert!(line.contains(part) && line.contains(&rows), "expected '{part}' in: {line}");
}

#[test]
fn every_spelling_of_a_table_gives_the_same_answers() {
    let bare = ROWS.split_once('\n').unwrap().1.to_owned();
    let tables = [
        ROWS.to_owned(),
        bare.clone(),
        ROWS.replace('\n', "\r\n"),
        bare.replace('\n', "\r\n"),
        format!("\u{feff}{ROWS}"),
        format!("\n \n{}\n\n", ROWS.replace('\n', "\n\n")),
        ROWS.trim_end().to_owned(),
        ROWS.replace(',', ";"),
        ROWS.replace(',', "\t"),
        ROWS.replace(',', " , "),
        bare.replace(',', " "),
        "\"a,\n1\",\"b\"\"\",c,d\n\"0\",\"1\",0.2,9\n".to_owned()
            + &bare[bare.find('\n').unwrap() + 1..],
    ];
    for table in &tables {
        for name in ["rows.csv", "rows.txt", "rows"] {
            assert_eq!(classified(name, table.as_bytes(), &[]), [1, 2, 0], "{name}: {table:?}");
        }
    }
    let packed = files::gzip(ROWS.as_bytes());
    assert_eq!(classified("rows.csv.gz", &packed, &[]), [1, 2, 0]);
}

#[test]
fn columns_are_chosen_by_name_number_and_range() {
    let table = b"id,label,a,b,c,d\n3,cat,0,1,0.2,9\n4,ant,0.5,0.6,0.75,-4\n5,bee,7,6,.5,255\n";
    for columns in ["a,b,c,d", "2,3,4,5", "2-5", "a-c,d", "a-d"] {
        assert_eq!(classified("rows.csv", table, &["--columns", columns]), [1, 2, 0], "{columns}");
    }
    assert_eq!(classified("rows.csv", table, &["--columns", "c,b,a,d"]), [1, 0, 2]);
    let without_id = table.iter().map(|byte| *byte as char).collect::<String>();
    let without_id: Vec<&str> =
        without_id.lines().map(|line| line.split_once(',').unwrap().1).collect();
    let without_id = without_id.join("\n");
    for label in ["label", "0"] {
        let more = ["--label-column", label];
        assert_eq!(classified("rows.csv", without_id.as_bytes(), &more), [1, 2, 0], "{label}");
    }
    refused(table, &[], "expected rows of 4 values, got 6 of 6 columns; --columns says which");
    refused(table, &["--columns", "a,b,c,e"], "no column 'e'");
    refused(table, &["--columns", "2-9"], "no column '2-9'; there are 6");
}

#[test]
fn rows_of_bytes_are_whole_numbers() {
    let pixels = b"p0,p1,p2,p3\n0,255,51,9\n10,20,30.0,40\n7,6,5,255\n";
    assert_eq!(classified("rows.csv", pixels, &["--input", "u8"]), [1, 2, 0]);
    assert_eq!(classified("rows.csv", pixels, &["--input", "bf16"]), [1, 2, 0]);
    for wrong in ["256", "-1", "0.5"] {
        let table = format!("1,2,3,4\n1,{wrong},3,4\n");
        let part = format!(
            "line 2, column 1: expected a whole number from 0 to 255 for --input u8, got '{wrong}'"
        );
        refused(table.as_bytes(), &["--input", "u8"], &part);
    }
}

#[test]
fn what_is_no_number_is_named_by_line_and_column() {
    for (table, part) in [
        ("a,b,c,d\n\n1,2,,4\n", "line 3, column 2 (c): expected a number, got nothing"),
        ("a,b,c,d\r\n1,2,3,4\r\n1,x,3,4\r\n", "line 3, column 1 (b): expected a number, got 'x'"),
        ("1,2,NA,4\n", "line 1, column 2: expected a number, got 'NA'"),
        ("1,2,nan,4\n", "line 1, column 2: expected a number, got 'nan'"),
        ("1,2,3,1e99\n", "line 1, column 3: expected a number that fits f32, got '1e99'"),
        ("1,2,3,4\n1,2,3\n", "line 2: expected 4 fields, got 3"),
        ("1,2,3,4\n1,2,3,4,5\n", "line 2: expected 4 fields, got 5"),
        ("1;2;3;4\n1;2;3;4,5\n", "line 2, column 3: expected a number, got '4,5'"),
        ("1,2,3\n", "expected rows of 4 values, got 3 of 3 columns"),
        ("a,b,c,d\n", "at least one row"),
        ("\n\n", "no lines"),
        ("a prose of words\n", "expected rows of 4 values"),
        ("\"a\nb\",b,c,d\n1,2,3,x\n", "line 3, column 3 (d)"),
    ] {
        refused(table.as_bytes(), &[], part);
    }
    refused(b"1,2,3,7e4\n", &["--input", "f16"], "a number that fits f16, got '7e4'");
    let long = format!("1,2,3,4\n1,2,3,{}\n", "x".repeat(100_000));
    refused(long.as_bytes(), &[], "got 'xxxx");
    refused(&vec![b','; 3 << 20], &[], "fields");
    refused(&vec![b'1'; 40 << 20], &[], "longer than");
}

#[test]
fn text_is_never_taken_for_raw_values() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    // As long as two rows of f32, and no rows of a table.
    let words = files.write("words", &[b'x'; 32]);
    error(1, &["classify", &model, &words, "--backend", "cpu"]);
    let wide: Vec<u8> = ROWS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = files.write("wide.csv", &[&[0xff, 0xfe][..], &wide].concat());
    let line = error(1, &["classify", &model, &wide, "--backend", "cpu"]);
    assert!(line.contains("UTF-16"), "{line}");
    // What is no text, either, has to be called raw.
    let noise = files.write("noise", &[1; 32]);
    let line = error(1, &["classify", &model, &noise, "--backend", "cpu"]);
    for word in ["npy", "idx", "PNG", "CSV", "--raw", ".f32"] {
        assert!(line.contains(word), "no {word} in {line}");
    }
    let raw = json(&["classify", &model, &noise, "--backend", "cpu", "--raw"]);
    assert_eq!(raw["rows"], 2);
    let columns = ["classify", &model, &noise, "--columns", "0-3", "--raw"];
    error(2, &columns);
    let npy = files.write("rows.npy", &files::npy("<f4", "(1, 4)", &[0; 16]));
    let line = error(1, &["classify", &model, &npy, "--backend", "cpu", "--columns", "0-3"]);
    assert!(line.contains("expected CSV") && line.contains("npy"), "{line}");
}

#[test]
fn text_on_standard_input_is_a_table_and_bytes_are_bytes() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let piped = |bytes: &[u8], input: &str| {
        let mut child = command(&["classify", &model, "-", "--input", input, "--backend", "cpu"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        text(&child.wait_with_output().unwrap().stdout)
    };
    let lines = piped(ROWS.as_bytes(), "f32");
    let found: Vec<&str> = lines.lines().map(|line| &line[..8]).collect();
    assert_eq!(found, ["- 0: 1 b", "- 1: 2 c", "- 2: 0 a"]);
    assert_eq!(piped(b"abcdefgh", "u8").lines().count(), 2);
}

#[test]
fn labels_in_a_column_are_evaluated() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let rows = ["0,1,0.2,9", "0.5,0.6,0.75,-4", "7,6,.5,255"];
    let table = |header: &str, labels: [&str; 3]| {
        let line = |(row, label): (&&str, &str)| format!("{row},{label}\n");
        header.to_owned() + &rows.iter().zip(labels).map(line).collect::<String>()
    };
    for (header, labels, column) in [
        ("a,b,c,d,y\n", ["bee", "cat", "cat"], "y"),
        ("a,b,c,d,y\n", ["1", "2", "2"], "4"),
        ("", ["bee", "cat", "cat"], "4"),
        ("", ["1.0", "2.0", "2.0"], "4"),
    ] {
        let path = files.write("rows.csv", table(header, labels).as_bytes());
        let eval = ["eval", &model, "--data", &path, "--label-column", column, "--backend", "cpu"];
        let document = json(&eval);
        assert_eq!((&document["rows"], &document["correct"]), (&3.into(), &2.into()), "{labels:?}");
        assert_eq!(document["confusion"], serde_json::json!([[0, 0, 0], [0, 1, 0], [1, 0, 1]]));
    }
    let wrong = |labels: [&str; 3], part: &str| {
        let path = files.write("rows.csv", table("", labels).as_bytes());
        let eval = ["eval", &model, "--images", &path, "--label-column", "4", "--backend", "cpu"];
        let line = error(1, &eval);
        assert!(line.contains(part), "expected '{part}' in: {line}");
    };
    wrong(["bee", "dog", "cat"], "line 2, column 4: expected one of the model's labels");
    wrong(["bee", "1", "cat"], "line 2, column 4");
    wrong(["0", "-1", "2"], "line 2, column 4");
    wrong(["0", "1.5", "2"], "line 2, column 4");
    wrong(["0", "3", "2"], "expected a class below 3, got 3");
    // In a file of their own.
    let bare = files.write("rows.csv", rows.join("\n").as_bytes());
    for labels in ["bee\ncat\ncat\n", "y\nbee\ncat\ncat\n", "1\n2\n2\n", "class\r\n1\r\n2\r\n2"] {
        let labels = files.write("labels.csv", labels.as_bytes());
        let eval = ["eval", &model, "--images", &bare, "--labels", &labels, "--backend", "cpu"];
        assert_eq!(json(&eval)["correct"], 2);
        assert!(stdout(&eval).contains("(2 of 3 rows)"));
    }
    let both = ["eval", &model, "--images", &bare, "--labels", "x", "--label-column", "4"];
    error(2, &both);
}

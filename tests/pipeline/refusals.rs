//! What is refused: with a typed error of one line, and nothing taken.

use std::fmt::Display;
use std::time::{Duration, Instant};

use fusewire::backend::cpu;
use fusewire::pipeline::{NotFinite, PipelineError, SubmitError, Value, Waiting};
use fusewire::{InputType, Pipeline, PipelineConfig, Rows, SubmitOptions, bf16, f16};

use crate::support::*;

#[track_caller]
fn is_one_line(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1, "{text}");
}

/// Whether rows are refused so, and the pipeline is as it was.
#[track_caller]
fn refused<T>(pipeline: &Pipeline, got: Result<T, SubmitError>, expected: SubmitError) {
    is_one_line(&expected);
    assert_eq!(got.err(), Some(expected));
    assert_eq!(pipeline.metrics().pending, 0);
}

#[test]
fn rows_of_another_width() {
    let pipeline = start(&*cpu::open(), small());
    let options = SubmitOptions::default();
    for values in [0, 1, 3, 5, 8, 400] {
        let row = vec![1.0_f32; values];
        let expected = SubmitError::WrongWidth { inputs: WIDTH, values };
        refused(&pipeline, pipeline.submit(&row), expected.clone());
        refused(&pipeline, pipeline.submit_blocking(&row, &options), expected.clone());
        refused(&pipeline, block_on(pipeline.submit_async(&row, &options)), expected);
    }
    for values in [1, 3, 5, 401] {
        let got = pipeline.submit_many(&vec![1.0_f32; values]);
        refused(&pipeline, got, SubmitError::WrongWidth { inputs: WIDTH, values });
    }
    refused(&pipeline, pipeline.submit_many(&[0.0_f32; 0]), SubmitError::NoRows);
    assert_eq!(settled(&pipeline).admitted, 0);
    is_whole(&pipeline, 64);
}

#[test]
fn rows_of_another_type() {
    let floats = start(&*cpu::open(), small());
    let expected = SubmitError::WrongInput { expected: InputType::F32, got: InputType::U8 };
    refused(&floats, floats.submit(&[0_u8; WIDTH]), expected.clone());
    refused(&floats, floats.submit_many(&[0_u8; WIDTH]), expected.clone());
    refused(&floats, floats.reserve::<u8>(), expected);
    let bytes = Pipeline::start(load_bytes(&*cpu::open()), small()).unwrap();
    let expected = SubmitError::WrongInput { expected: InputType::U8, got: InputType::F32 };
    refused(&bytes, bytes.submit(&[0.0_f32; WIDTH]), expected.clone());
    refused(&bytes, bytes.reserve::<f32>(), expected);
    let halves = Pipeline::start(load_of(&*cpu::open(), InputType::F16), small()).unwrap();
    let expected = SubmitError::WrongInput { expected: InputType::F16, got: InputType::Bf16 };
    assert!(expected.to_string().contains("expected f16, got bf16"), "{expected}");
    refused(&halves, halves.submit(&[bf16::ONE; WIDTH]), expected.clone());
    refused(&halves, halves.reserve::<bf16>(), expected);
    for pipeline in [&floats, &bytes, &halves] {
        assert_eq!(settled(pipeline).admitted, 0);
    }
    is_whole(&floats, 64);
}

#[test]
fn more_rows_than_there_are() {
    let pipeline = start(&null(), small());
    for count in [65, 1000] {
        let expected = SubmitError::TooManyRows { capacity: 64, rows: count };
        refused(&pipeline, pipeline.submit_many(&rows(0..count)), expected);
    }
    let metrics = settled(&pipeline);
    assert_eq!((metrics.admitted, metrics.rejected), (0, 0));
    is_whole(&pipeline, 64);
}

#[test]
fn numbers_that_are_none_where_that_was_asked_for() {
    let config = PipelineConfig { not_finite: NotFinite::Refuse, ..small() };
    let pipeline = start(&*cpu::open(), config);
    for (column, bad) in [(0, f32::NAN), (2, f32::INFINITY), (3, f32::NEG_INFINITY)] {
        let mut values = rows(0..5);
        values[3 * WIDTH + column] = bad;
        let many = SubmitError::NotFinite { row: 3, column };
        refused(&pipeline, pipeline.submit_many(&values), many);
        let one = SubmitError::NotFinite { row: 0, column };
        let row = &values[3 * WIDTH..4 * WIDTH];
        refused(&pipeline, pipeline.submit(row), one.clone());
        let mut guard = pipeline.reserve::<f32>().unwrap();
        guard.copy_from_slice(row);
        refused(&pipeline, guard.commit(), one);
    }
    assert_eq!(settled(&pipeline).admitted, 0);
    is_whole(&pipeline, 64);
    refuses_halves(InputType::F16, f16::INFINITY);
    refuses_halves(InputType::F16, f16::NAN);
    refuses_halves(InputType::Bf16, bf16::NEG_INFINITY);
    refuses_halves(InputType::Bf16, bf16::NAN);
    // Bytes are always numbers.
    let config = PipelineConfig { not_finite: NotFinite::Refuse, ..small() };
    let bytes_only = Pipeline::start(load_bytes(&*cpu::open()), config).unwrap();
    assert!(bytes_only.submit(&bytes(1)).unwrap().wait().is_ok());
}

/// Whether a row with one such value is refused, and its neighbour is not.
fn refuses_halves<T: Value + Default>(input: InputType, bad: T)
where
    for<'a> Rows<'a>: From<&'a [T]>,
{
    let config = PipelineConfig { not_finite: NotFinite::Refuse, ..small() };
    let pipeline = Pipeline::start(load_of(&*cpu::open(), input), config).unwrap();
    let mut values = [T::default(); 3 * WIDTH];
    values[WIDTH + 2] = bad;
    let many = SubmitError::NotFinite { row: 1, column: 2 };
    refused(&pipeline, pipeline.submit_many(&values[..]), many);
    let mut guard = pipeline.reserve::<T>().unwrap();
    guard.copy_from_slice(&values[WIDTH..2 * WIDTH]);
    refused(&pipeline, guard.commit(), SubmitError::NotFinite { row: 0, column: 2 });
    assert!(pipeline.submit(&values[2 * WIDTH..]).unwrap().wait().is_ok());
}

#[test]
fn numbers_that_are_none_spoil_their_own_row_alone() {
    for (device, _) in kinds() {
        let pipeline = start(&*device, small());
        let mut values = rows(0..30);
        values[11 * WIDTH + 1] = f32::NAN;
        let reply = pipeline.submit_many(&values).unwrap().wait().unwrap();
        for (id, prediction) in reply.rows().enumerate() {
            match id {
                11 => assert!(prediction.scores()[1].is_nan()),
                _ => assert_eq!(prediction.scores(), row(id)),
            }
        }
        let mut guard = pipeline.reserve::<f32>().unwrap();
        guard.fill(f32::INFINITY);
        assert!(guard.commit().unwrap().wait().is_ok());
        drop(reply);
        is_whole(&pipeline, 64);
    }
}

#[test]
fn deadlines_in_the_past_and_priorities_without_a_ring() {
    let pipeline = start(&*cpu::open(), small());
    let past = SubmitOptions::deadline(Instant::now() - Duration::from_millis(1));
    let bulk = SubmitOptions::bulk();
    for (options, expected) in [(past, SubmitError::DeadlinePassed), (bulk, SubmitError::NoBulk)] {
        let one = row(1);
        refused(&pipeline, pipeline.submit_with(&one, &options), expected.clone());
        refused(&pipeline, pipeline.submit_many_with(&one, &options), expected.clone());
        refused(&pipeline, pipeline.submit_blocking(&one, &options), expected.clone());
        let taken = block_on(pipeline.submit_async(&one, &options));
        refused(&pipeline, taken, expected.clone());
        refused(&pipeline, pipeline.reserve_with::<f32>(&options), expected);
    }
    assert_eq!(settled(&pipeline).admitted, 0);
    is_whole(&pipeline, 64);
}

#[test]
fn options_that_make_no_sense() {
    type Change = fn(&mut PipelineConfig);
    let changes: [(&str, Change); 18] = [
        ("capacity", |config| config.capacity = 0),
        ("capacity", |config| config.capacity = usize::MAX),
        ("bulk_capacity", |config| config.bulk_capacity = usize::MAX),
        ("max_rows", |config| config.max_rows = 0),
        ("max_rows", |config| config.max_rows = usize::MAX),
        ("depth", |config| config.depth = 0),
        ("depth", |config| config.depth = usize::MAX),
        ("workers", |config| config.workers = 0),
        ("workers", |config| config.workers = 64),
        ("workers", |config| config.workers = usize::MAX),
        ("attempts", |config| config.attempts = 0),
        ("attempts", |config| config.attempts = u32::MAX),
        ("batch_timeout", |config| config.batch_timeout = Duration::ZERO),
        ("batch_timeout", |config| config.batch_timeout = Duration::MAX),
        ("max_delay", |config| config.max_delay = Duration::MAX),
        ("waiting.spin", |config| config.waiting.spin = Duration::MAX),
        ("waiting.spin", |config| config.waiting = Waiting::spinning(LONG)),
        ("capacity", |config| (config.capacity, config.max_rows) = (0, 0)),
    ];
    for (name, change) in changes {
        let mut config = PipelineConfig::default();
        change(&mut config);
        let error = Pipeline::start(load(&null()), config).unwrap_err();
        assert!(matches!(error, PipelineError::Option { option, .. } if option == name), "{error}");
        is_one_line(&error);
    }
}

#[test]
fn options_at_their_ends_serve() {
    type Change = fn(&mut PipelineConfig);
    let changes: [Change; 9] = [
        |config| config.capacity = 1,
        |config| config.capacity = 3,
        |config| (config.capacity, config.bulk_capacity) = (1, 1),
        |config| config.max_rows = 1,
        |config| config.max_rows = 1 << 24,
        |config| config.depth = 16,
        |config| config.workers = 63,
        |config| (config.attempts, config.workers, config.depth) = (1, 1, 1),
        |config| config.batch_timeout = Duration::from_secs(3600),
    ];
    for change in changes {
        let mut config = small();
        change(&mut config);
        let capacity = config.capacity.next_power_of_two();
        let pipeline = start(&null(), config);
        is_whole(&pipeline, capacity);
    }
}

#[test]
fn the_63_workers_are_all_there_may_be() {
    let pipeline = start(&null(), PipelineConfig { workers: 62, ..small() });
    pipeline.attach(load(&fake("one more"))).unwrap();
    let error = pipeline.attach(load(&fake("one too many"))).unwrap_err();
    assert_eq!(error, PipelineError::TooMany { count: 63 });
    is_one_line(&error);
    is_whole(&pipeline, 64);
}

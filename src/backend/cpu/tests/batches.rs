//! Batch sizes, spoilt rows, contexts, threads, and the edges of the seam.

use std::time::Instant;

use super::*;
use crate::backend::BackendError;
use crate::model::Head;

fn sample(random: &mut Random) -> Model {
    network(random, &[150, 33, 17, 10], Activation::Gelu).with_head(Head::Softmax)
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    let mut random = Random(6);
    for widths in [&[150, 33, 17, 10][..], &[500, 300, 10], &[3, 2], &[1000, 16]] {
        let model = network(&mut random, widths, Activation::Tanh);
        let rows = random.units(widths[0] * 140);
        for (device, precision) in devices().iter().flat_map(|d| Precision::ALL.map(|p| (d, p))) {
            let executable = load(&**device, &model, &options(InputType::F32, precision));
            let all = scores(&*executable, Rows::F32(&rows));
            for count in (1..=40).chain([100]) {
                let some = scores(&*executable, Rows::F32(&rows[..count * widths[0]]));
                let same = some.iter().zip(&all).all(|(a, b)| a.to_bits() == b.to_bits());
                let level = &device.info().detail;
                assert!(same, "{level} {widths:?} {precision:?} batch of {count}");
            }
        }
    }
}

#[test]
fn a_spoilt_row_spoils_only_itself() {
    let mut random = Random(7);
    let model = sample(&mut random);
    let rows = random.units(150 * 30);
    for device in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        let clean = scores(&*executable, Rows::F32(&rows));
        for (spoilt, poison) in [(0, f32::NAN), (12, f32::INFINITY), (29, f32::NEG_INFINITY)] {
            let mut rows = rows.clone();
            rows[spoilt * 150 + 149] = poison;
            let got = scores(&*executable, Rows::F32(&rows));
            for (row, (got, clean)) in got.chunks(10).zip(clean.chunks(10)).enumerate() {
                if row == spoilt {
                    assert!(!poison.is_nan() || got.iter().all(|score| score.is_nan()));
                } else {
                    assert_eq!(got, clean, "row {row} beside {poison} in row {spoilt}");
                }
            }
        }
    }
}

#[test]
fn contexts_keep_the_scores_of_one_batch() {
    let mut random = Random(8);
    let model = sample(&mut random);
    let rows = random.units(150 * 20);
    for device in devices() {
        let executable =
            load(&*device, &model, &PlanOptions { rows_max: 16, ..PlanOptions::default() });
        let expected = scores(&*executable, Rows::F32(&rows));
        let mut context = executable.create_context().unwrap();
        assert_eq!(context.wait(Instant::now()), Err(BackendError::Idle));
        assert!(context.scores().is_empty());
        for count in [16, 1, 7] {
            context.submit(Rows::F32(&rows[..count * 150])).unwrap();
            context.wait(Instant::now()).unwrap();
            assert_eq!(context.scores(), &expected[..count * 10]);
        }
        let too_many = context.submit(Rows::F32(&rows[..17 * 150]));
        assert_eq!(too_many, Err(BackendError::BatchSize { rows_max: 16, rows: 17 }));
        assert!(context.submit(Rows::F32(&[])).is_err());
    }
}

#[test]
fn many_threads_share_an_executable() {
    let mut random = Random(9);
    let model = network(&mut random, &[60, 300, 300, 10], Activation::Relu);
    let rows = random.units(60 * 50);
    for device in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        let expected = scores(&*executable, Rows::F32(&rows));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(scores(&*executable, Rows::F32(&rows)), expected);
                    }
                });
            }
        });
    }
}

#[test]
fn the_seam_checks_what_it_is_handed() {
    let model = sample(&mut Random(10));
    for device in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        let mut scores = [0.0; 10];
        assert!(executable.run(Rows::U8(&[0; 150]), &mut scores).is_err());
        assert!(executable.run(Rows::F32(&[0.0; 149]), &mut scores).is_err());
        assert!(executable.run(Rows::F32(&[0.0; 300]), &mut scores).is_err());
        assert!(executable.run(Rows::F32(&[]), &mut []).is_ok());
    }
}

#[test]
fn a_plan_for_other_limits_is_refused() {
    let model = sample(&mut Random(11));
    let device = &devices()[0];
    let mut limits = *device.limits();
    limits.panel *= 2;
    let plan = Plan::new(&model, &limits, &PlanOptions::default()).unwrap();
    assert_eq!(device.load(plan).unwrap_err(), BackendError::WrongPlan);
}

#[test]
fn ceilings_are_measured() {
    for device in devices() {
        for working_set_bytes in [0, 100_000, u64::MAX] {
            let peak = device.peak(working_set_bytes).unwrap();
            println!("{}, {working_set_bytes} bytes: {peak:?}", device.info().detail);
            assert!(peak.flops_per_s.unwrap() > 1e8 && peak.bytes_per_s > 1e7);
        }
    }
}

//! Every way of handing rows over, on every kind of device.

use std::sync::Arc;
use std::thread;

use fusewire::backend::{Device, cpu};
use fusewire::pipeline::{Feed, RowGuard, SubmitError, Value};
use fusewire::{
    InputType, Pipeline, PipelineConfig, Reply, Rows, SubmitOptions, Ticket, bf16, f16,
};

use crate::support::*;

/// Runs a check on a small pipeline of every kind of device, and sees that it leaves no row taken.
fn on_every_kind(check: impl Fn(&Pipeline)) {
    for (device, waiting) in kinds() {
        let pipeline = start(&*device, PipelineConfig { waiting, ..small() });
        check(&pipeline);
        assert_eq!(settled(&pipeline).failed, 0, "{}", device.info().name);
        is_whole(&pipeline, 64);
    }
}

fn on_every_kind_in_bytes(check: impl Fn(&Pipeline)) {
    for (device, waiting) in kinds() {
        let config = PipelineConfig { waiting, ..small() };
        check(&Pipeline::start(load_bytes(&*device), config).unwrap());
    }
}

#[test]
fn one_row_after_the_other() {
    on_every_kind(|pipeline| {
        for id in 0..300 {
            check(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
        }
    });
}

#[test]
fn rows_with_options_and_of_either_priority() {
    for (device, _) in kinds() {
        let pipeline = start(&*device, PipelineConfig { bulk_capacity: 16, ..small() });
        let hour = std::time::Instant::now() + 60 * LONG;
        for options in [SubmitOptions::bulk(), SubmitOptions::deadline(hour)] {
            let tickets: Vec<_> =
                (0..16).map(|id| pipeline.submit_with(&row(id), &options).unwrap()).collect();
            for (id, ticket) in tickets.into_iter().enumerate() {
                check(&ticket.wait().unwrap(), [id]);
            }
            let ticket = pipeline.submit_many_with(&rows(0..16), &options).unwrap();
            check(&ticket.wait().unwrap(), 0..16);
            let ticket = pipeline.submit_blocking(&row(3), &options).unwrap();
            check(&ticket.wait().unwrap(), [3]);
            let mut guard = pipeline.reserve_with::<f32>(&options).unwrap();
            guard.copy_from_slice(&row(5));
            check(&guard.commit().unwrap().wait().unwrap(), [5]);
        }
    }
}

#[test]
fn many_rows_are_one_request_however_many_batches_they_need() {
    on_every_kind(|pipeline| {
        for count in [1, 2, 7, 8, 9, 16, 37, 63, 64] {
            let before = pipeline.metrics().batches;
            let reply = pipeline.submit_many(&rows(0..count)).unwrap().wait().unwrap();
            check(&reply, 0..count);
            assert_eq!(reply.len(), count);
            until(|| pipeline.metrics().batches - before >= count.div_ceil(8) as u64);
        }
        let metrics = settled(pipeline);
        assert!(metrics.batch_rows.max() <= 8, "a batch of {}", metrics.batch_rows.max());
    });
}

#[test]
fn many_rows_around_rows_that_are_taken() {
    on_every_kind(|pipeline| {
        let held: Vec<_> = (0..20)
            .map(|id| pipeline.submit(&row(id)).unwrap().wait().unwrap())
            .enumerate()
            .filter(|(id, _)| id % 3 == 0)
            .collect();
        for round in 0..50 {
            let ids = round..round + 64 - held.len();
            let reply = pipeline.submit_many(&rows(ids.clone())).unwrap().wait().unwrap();
            check(&reply, ids);
        }
        held.iter().for_each(|(id, reply)| check(reply, [*id]));
    });
}

#[test]
fn rows_of_bytes() {
    on_every_kind_in_bytes(|pipeline| {
        let numbers = |id| bytes(id).map(f32::from);
        for id in [0, 1, 255, 256, 65_535] {
            assert_eq!(pipeline.submit(&bytes(id)).unwrap().wait().unwrap().scores(), numbers(id));
            let mut guard = pipeline.reserve::<u8>().unwrap();
            guard.copy_from_slice(&bytes(id));
            assert_eq!(guard.commit().unwrap().wait().unwrap().scores(), numbers(id));
        }
        let many: Vec<u8> = (0..30).flat_map(bytes).collect();
        let reply = pipeline.submit_many(&many).unwrap().wait().unwrap();
        assert!(reply.rows().map(|row| row.scores().to_vec()).eq((0..30).map(numbers)));
        let fed = pipeline.feed((0..100).map(bytes), 9);
        let fed: Vec<_> = fed.map(|reply| reply.unwrap().scores().to_vec()).collect();
        assert!(fed.into_iter().eq((0..100).map(numbers)));
    });
}

/// Of numbers that any half holds.
fn halves_go_every_way<T>(input: InputType, half: fn(f32) -> T)
where
    T: Value + std::fmt::Debug,
    for<'a> Rows<'a>: From<&'a [T; WIDTH]> + From<&'a [T]>,
{
    let halves = |id: usize| row(id % 128).map(half);
    let scores = |id: usize| row(id % 128);
    for (device, waiting) in kinds() {
        let config = PipelineConfig { waiting, ..small() };
        let pipeline = Pipeline::start(load_of(&*device, input), config).unwrap();
        for id in 0..128 {
            assert_eq!(pipeline.submit(&halves(id)).unwrap().wait().unwrap().scores(), scores(id));
            let mut guard = pipeline.reserve::<T>().unwrap();
            guard.copy_from_slice(&halves(id));
            assert_eq!(guard.commit().unwrap().wait().unwrap().scores(), scores(id));
        }
        let many: Vec<T> = (0..61).flat_map(halves).collect();
        let reply = pipeline.submit_many(&many[..]).unwrap().wait().unwrap();
        assert!(reply.rows().map(|row| row.scores().to_vec()).eq((0..61).map(scores)));
        let fed = pipeline.feed((0..100).map(halves), 9);
        let fed: Vec<_> = fed.map(|reply| reply.unwrap().scores().to_vec()).collect();
        assert!(fed.into_iter().eq((0..100).map(scores)));
        pipeline.swap(&scaled(2.0)).unwrap();
        let got = pipeline.submit(&halves(3)).unwrap().wait().unwrap().scores().to_vec();
        // The device that computes nothing does not scale.
        assert!(got == scores(3).map(|value| 2.0 * value) || device.info().name == "null");
    }
}

#[test]
fn rows_of_halves() {
    halves_go_every_way(InputType::F16, f16::from_f32);
    halves_go_every_way(InputType::Bf16, bf16::from_f32);
}

#[test]
fn reserved_rows_are_written_in_place() {
    on_every_kind(|pipeline| {
        for id in 0..200 {
            let mut guard = pipeline.reserve::<f32>().unwrap();
            assert_eq!(guard.len(), WIDTH);
            guard.copy_from_slice(&row(id));
            if id % 3 == 0 {
                drop(guard);
                continue;
            }
            check(&guard.commit().unwrap().wait().unwrap(), [id]);
        }
    });
}

#[test]
fn rows_reserved_together_are_committed_in_any_order() {
    on_every_kind(|pipeline| {
        for round in 0..20 {
            let reserve = |id: usize| {
                let mut guard = pipeline.reserve::<f32>().unwrap();
                guard.copy_from_slice(&row(id));
                (id, guard)
            };
            let mut guards: Vec<_> = (round..round + 32).map(reserve).collect();
            guards.rotate_left(round);
            let other = pipeline.submit(&row(1000)).unwrap();
            let commit = |(id, guard): (usize, RowGuard<f32>)| (id, guard.commit().unwrap());
            let tickets: Vec<_> = guards.into_iter().rev().map(commit).collect();
            check(&other.wait().unwrap(), [1000]);
            for (id, ticket) in tickets {
                check(&ticket.wait().unwrap(), [id]);
            }
        }
    });
}

#[test]
fn a_class_in_one_call() {
    on_every_kind(|pipeline| {
        for class in 0..WIDTH {
            let mut values = [0.0; WIDTH];
            values[class] = 1.0;
            assert_eq!(pipeline.classify(&values), Ok(class));
        }
        let wrong = pipeline.classify(&[0.0; 3]).unwrap_err();
        assert_eq!(wrong, SubmitError::WrongWidth { inputs: 4, values: 3 }.into());
    });
}

#[test]
fn a_feed_answers_in_order_with_errors_in_their_place() {
    on_every_kind(|pipeline| {
        for window in [0, 1, 5, 64, 1000] {
            let input = (0..200).map(|id| match id % 50 {
                49 => vec![1.0; 3],
                _ => row(id).to_vec(),
            });
            let mut answers = 0;
            for (id, reply) in pipeline.feed(input, window).enumerate() {
                match id % 50 {
                    49 => assert!(reply.is_err()),
                    _ => check(&reply.unwrap(), [id]),
                }
                answers += 1;
            }
            assert_eq!(answers, 200);
        }
        assert_eq!(settled(pipeline).rejected, 0, "a row that waits is not turned away");
    });
}

#[test]
fn a_feed_keeps_its_window_and_takes_nothing_it_does_not_need() {
    let pipeline = start(&null(), small());
    let mut taken = 0;
    let mut feed = pipeline.feed((0..100).map(row).inspect(|_| taken += 1), 5);
    check(&feed.next().unwrap().unwrap(), [0]);
    drop(feed);
    assert_eq!(taken, 5);
    assert_eq!(settled(&pipeline).admitted, 5);
}

#[test]
fn blocking_submitters_share_a_ring_far_too_small() {
    for (device, waiting) in kinds() {
        let config = PipelineConfig { capacity: 2, waiting, ..small() };
        let pipeline = start(&*device, config);
        thread::scope(|scope| {
            for producer in 0..4 {
                let pipeline = pipeline.clone();
                scope.spawn(move || {
                    for id in producer * 1000..producer * 1000 + 300 {
                        let options = SubmitOptions::default();
                        let ticket = pipeline.submit_blocking(&row(id), &options).unwrap();
                        check(&ticket.wait().unwrap(), [id]);
                    }
                });
            }
        });
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.rejected), (1200, 0));
    }
}

#[test]
fn many_producers_on_many_handles() {
    for (device, waiting) in kinds() {
        let pipeline = start(&*device, PipelineConfig { waiting, workers: 2, ..small() });
        thread::scope(|scope| {
            for producer in 0..4 {
                let pipeline = pipeline.clone();
                scope.spawn(move || {
                    for round in 0..100 {
                        let first = producer * 100_000 + round * 10;
                        let options = SubmitOptions::default();
                        let one = pipeline.submit_blocking(&row(first), &options).unwrap();
                        let many = rows(first..first + 10);
                        let mut ticket = pipeline.submit_many(&many);
                        // A row that was taken when somebody passed it is out for a lap.
                        while let Err(SubmitError::Full) = ticket {
                            thread::yield_now();
                            ticket = pipeline.submit_many(&many);
                        }
                        check(&ticket.unwrap().wait().unwrap(), first..first + 10);
                        check(&one.wait().unwrap(), [first]);
                    }
                });
            }
        });
        assert_eq!(settled(&pipeline).completed, 4400);
        is_whole(&pipeline, 64);
    }
}

#[test]
fn a_clone_sees_and_does_the_same() {
    let pipeline = start(&*cpu::open(), small());
    let clone = pipeline.clone();
    check(&clone.submit(&row(1)).unwrap().wait().unwrap(), [1]);
    drop(pipeline);
    check(&clone.submit(&row(2)).unwrap().wait().unwrap(), [2]);
    assert_eq!(settled(&clone).admitted, 2, "what a handle took counts after its end");
    assert_eq!((clone.inputs(), clone.classes(), clone.version().0), (WIDTH, WIDTH, 1));
    assert_eq!(clone.devices(), [cpu::open().info().clone()]);
}

#[test]
fn what_is_handed_out_may_go_to_any_thread() {
    fn is_free<T: Send + Sync + 'static>() {}
    is_free::<Pipeline>();
    is_free::<Ticket>();
    is_free::<Reply>();
    is_free::<RowGuard<f32>>();
    is_free::<Feed<std::vec::IntoIter<Vec<f32>>>>();
    let pipeline = Arc::new(start(&null(), small()));
    let ticket = pipeline.submit(&row(9)).unwrap();
    let reply = thread::spawn(move || ticket.wait().unwrap()).join().unwrap();
    thread::spawn(move || check(&reply, [9])).join().unwrap();
}

/// Runs a check that could wait for ever.
fn in_time<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let runs = thread::spawn(run);
    until(|| runs.is_finished());
    runs.join().unwrap()
}

#[test]
fn all_replies_of_a_feed_may_be_kept() {
    let pipeline = start(&null(), PipelineConfig { capacity: 8, ..small() });
    for (window, count) in [(64, 1000), (3, 100), (8, 9)] {
        let pipeline = pipeline.clone();
        let replies: Vec<_> = in_time(move || pipeline.feed((0..count).map(row), window).collect());
        assert_eq!(replies.len(), count);
        for (id, reply) in replies.iter().enumerate() {
            let reply = reply.as_ref().unwrap();
            check(reply, [id]);
            assert_eq!((reply.len(), reply.first().version()), (1, 1));
            assert_eq!(reply.first().device(), null().info().name);
        }
    }
    is_whole(&pipeline, 8);
}

#[test]
fn feeds_share_a_ring_that_is_smaller_than_their_windows() {
    let pipeline = start(&null(), PipelineConfig { capacity: 8, ..small() });
    let (first, second) = (pipeline.clone(), pipeline.clone());
    // In turn, on one thread: neither keeps the other from going on.
    let pairs: Vec<_> = in_time(move || {
        let ids = || (0..200).map(row);
        first.feed(ids(), 64).zip(first.feed(ids(), 64)).collect()
    });
    assert_eq!(pairs.len(), 200);
    for (id, (one, other)) in pairs.into_iter().enumerate() {
        check(&one.unwrap(), [id]);
        check(&other.unwrap(), [id]);
    }
    // One that has begun and is not asked again.
    let count = in_time(move || {
        let mut begun = second.feed((0..100).map(row), 64);
        check(&begun.next().unwrap().unwrap(), [0]);
        second.feed((0..100).map(row), 64).filter(Result::is_ok).count()
    });
    assert_eq!(count, 100);
    is_whole(&pipeline, 8);
}

#[test]
fn detached_replies_say_the_same_and_hold_nothing() {
    on_every_kind(|pipeline| {
        let many = pipeline.submit_many(&rows(0..64)).unwrap().wait().unwrap();
        let seen = |reply: &Reply| -> Vec<_> {
            let seen = reply.rows().map(|row| (row.class(), row.version(), row.times()));
            seen.collect()
        };
        let before = seen(&many);
        let many = many.detach().detach();
        check(&many, 0..64);
        assert_eq!(seen(&many), before);
        is_whole(pipeline, 64);
        check(&many, 0..64);
    });
}

#[test]
fn rows_are_given_one_by_one() {
    on_every_kind(|pipeline| {
        let vectors: Vec<Vec<f32>> = (0..5).map(|id| row(id).to_vec()).collect();
        let arrays: [[f32; WIDTH]; 5] = [0, 1, 2, 3, 4].map(row);
        let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let boxes: Vec<Box<[f32]>> = vectors.iter().map(|row| row.clone().into()).collect();
        let tickets = [
            pipeline.submit_rows(&vectors),
            pipeline.submit_rows(&arrays),
            pipeline.submit_rows(&slices),
            pipeline.submit_rows(&boxes),
            pipeline.submit_rows_with(arrays.iter(), &SubmitOptions::default()),
        ];
        for ticket in tickets {
            check(&ticket.unwrap().wait().unwrap(), 0..5);
        }
    });
}

#[test]
fn each_of_the_rows_has_the_width_of_the_model() {
    let pipeline = start(&null(), small());
    let refused = |got: Result<Ticket, SubmitError>, expected: SubmitError, text: &str| {
        assert_eq!(got.unwrap_err(), expected);
        assert_eq!(expected.to_string(), text);
        assert_eq!(pipeline.metrics().pending, 0);
    };
    // Two halves are not a whole.
    let halves = [[1.0_f32; WIDTH / 2]; 2];
    let (inputs, values) = (WIDTH, WIDTH / 2);
    let expected = SubmitError::WrongRow { row: 0, inputs, values };
    refused(pipeline.submit_rows(&halves), expected, "row 0: expected 4 values, got 2");
    let ragged = [vec![1.0_f32; 4], vec![1.0; 4], vec![1.0; 3], vec![1.0; 5]];
    let expected = SubmitError::WrongRow { row: 2, inputs, values: 3 };
    refused(pipeline.submit_rows(&ragged), expected, "row 2: expected 4 values, got 3");
    let none: [[f32; WIDTH]; 0] = [];
    refused(pipeline.submit_rows(&none), SubmitError::NoRows, "rows: expected at least one");
    let bytes = [[1_u8; WIDTH]];
    let (expected, got) = (InputType::F32, InputType::U8);
    assert_eq!(
        pipeline.submit_rows(&bytes).unwrap_err(),
        SubmitError::WrongInput { expected, got }
    );
    // No list is made of more than the ring holds.
    let endless = pipeline.submit_rows(std::iter::repeat(&[1.0_f32; WIDTH])).unwrap_err();
    assert!(matches!(endless, SubmitError::TooManyRows { capacity: 64, .. }), "{endless}");
    for (values, text) in [
        (3, "row: expected 4 values, got 3"),
        (5, "row: expected 4 values, got 5: 1 row and 1 value"),
        (11, "row: expected 4 values, got 11: 2 rows and 3 values"),
        (8, "row: expected 4 values, got 8: 2 rows"),
    ] {
        let row = vec![1.0_f32; values];
        let error = SubmitError::WrongWidth { inputs, values };
        refused(pipeline.submit(&row), error.clone(), text);
        if values != 8 {
            refused(pipeline.submit_many(&row), error, text);
        }
    }
    is_whole(&pipeline, 64);
}

/// Callers that wait for room are served in turn, though others come all the time.
#[test]
fn callers_in_line_are_served_while_others_hurry() {
    for capacity in [1, 2] {
        let pipeline = start(&null(), PipelineConfig { capacity, ..small() });
        let busy = std::sync::atomic::AtomicBool::new(true);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while busy.load(relaxed) {
                        if let Ok(ticket) = pipeline.submit(&row(1)) {
                            drop(ticket.wait().unwrap());
                        }
                    }
                });
            }
            let waiting = [2, 3].map(|id| {
                let pipeline = pipeline.clone();
                scope.spawn(move || {
                    for _ in 0..100 {
                        let ticket = pipeline.submit_blocking(&row(id), &SubmitOptions::default());
                        check(&ticket.unwrap().wait().unwrap(), [id]);
                    }
                })
            });
            until(|| waiting.iter().all(|it| it.is_finished()));
            busy.store(false, relaxed);
        });
        is_whole(&pipeline, capacity);
    }
}

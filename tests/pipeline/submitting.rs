//! Every way of handing rows over, on every kind of device.

use std::sync::Arc;
use std::thread;

use fusewire::backend::cpu;
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

//! Recording, replay, tickets, timestamps, and the exact counts of all of it.

use crate::fixture::{groups, push_affine, push_one, with_device, with_options};
use resident_vulkan::{Error, Memory, Options};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_dispatch_computes() {
    with_device(|f| {
        for n in [1u32, 63, 64, 65, 1000] {
            let values: Vec<u32> = (0..n).map(|i| (i as f32 * 0.5 - 3.0).to_bits()).collect();
            let x = f.words("x", &values);
            let y = f.words("y", &vec![0xffff_ffff; n as usize + 1]);
            let affine = f.affine();
            let step = f.device.record("affine", |r| {
                r.keep(&x);
                r.keep(&y);
                r.dispatch(&affine, &push_affine(&x, &y, n, 2.0), groups(n));
            });
            f.device.submit(&[&step.expect("a recording")]).expect("a submit");
            let back = f.read_words(&y);
            for i in 0..n as usize {
                let expected = f32::from_bits(values[i]) * 2.0 + i as f32;
                assert_eq!(f32::from_bits(back[i]), expected, "y[{i}] of {n}");
            }
            assert_eq!(back[n as usize], 0xffff_ffff, "written past the end");
        }
    });
}

#[test]
fn dependent_dispatches_with_barriers_and_many_replays_in_one_submit() {
    with_device(|f| {
        let x = f.words("x", &vec![0; 5000]);
        let (add, add_ten) = (f.add(1), f.add(10));
        let step = f
            .device
            .record("step", |r| {
                r.keep(&x);
                for _ in 0..3 {
                    r.dispatch(&add, &push_one(&x, 5000), groups(5000));
                    r.barrier();
                }
                r.dispatch(&add_ten, &push_one(&x, 5000), groups(5000));
            })
            .expect("a recording");
        let ticket = f.device.submit(&[&step; 40]).expect("a submit");
        f.device.wait(ticket).expect("a wait");
        assert!(f.read_words(&x).iter().all(|&word| word == 40 * 13));
    });
}

#[test]
fn copies_stand_in_order_with_dispatches() {
    with_device(|f| {
        let x = f.words("x", &[1; 1000]);
        let y = f.words("y", &[0; 1000]);
        let add = f.add(1);
        let step = f
            .device
            .record("step", |r| {
                r.keep(&x);
                r.dispatch(&add, &push_one(&x, 1000), groups(1000));
                r.copy(&x, 40, &y, 80, 400);
                r.dispatch(&add, &push_one(&x, 1000), groups(1000));
                r.dispatch(&add, &push_one(&y, 1000), groups(1000));
            })
            .expect("a recording");
        f.device.submit(&[&step, &step]).expect("a submit");
        let back = f.read_words(&y);
        // Twice: x becomes 2, 3, then 4, 5; y takes x = 4 in the second round and adds one.
        assert_eq!((back[19], back[20], back[119], back[120]), (2, 5, 5, 2));
        assert!(f.read_words(&x).iter().all(|&word| word == 5));
    });
}

#[test]
fn the_counts_are_exact() {
    with_device(|f| {
        let zeros = f.words("x", &[0; 64]);
        let counters = f.before_seal();
        // The block of x and the staging ring; the ring's copy of x.
        assert_eq!((counters.allocations, counters.recordings, counters.submits), (2, 1, 1));
        assert_eq!((counters.host_waits, counters.pipeline_creations), (0, 0));
        assert_eq!(counters.upload_bytes, BTreeMap::from([("inputs".to_owned(), 256)]));

        let (add, affine) = (f.add(1), f.affine());
        let step = f
            .device
            .record("step", |r| {
                r.keep(&zeros);
                for _ in 0..5 {
                    r.dispatch(&add, &push_one(&zeros, 64), groups(64));
                    r.barrier();
                }
                r.dispatch(&affine, &push_affine(&zeros, &zeros, 0, 1.0), groups(64));
            })
            .expect("a recording");
        assert_eq!(f.before_seal().pipeline_creations, 2);
        assert_eq!(f.before_seal().recordings, 2);
        assert!(f.before_seal().dispatches.is_empty(), "nothing ran yet");

        let first = f.device.submit(&[&step]).expect("a submit");
        f.device.seal().expect("the seal");
        let before = f.before_seal();
        let second = f.device.submit(&[&step, &step, &step]).expect("a submit");
        assert!(first < second);
        f.device.wait(second).expect("a wait");
        assert_eq!((f.device.reached(first), f.device.reached(second)).0.ok(), Some(true));
        let waits = f.after_seal().host_waits;
        assert!(waits <= 1);
        f.device.wait(second).expect("a wait");
        f.device.wait(first).expect("a wait");
        f.device.wait_idle().expect("a wait");

        let after = f.after_seal();
        assert_eq!(after.host_waits, waits, "what is reached is not waited for");
        assert_eq!(after.submits, 1);
        let expected = [("add", 15), ("affine", 3)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(after.dispatches, BTreeMap::from(expected));
        assert_eq!((after.recordings, after.allocations, after.pipeline_creations), (0, 0, 0));
        assert_eq!((after.descriptor_writes, before.descriptor_writes), (0, 0));
        assert!(after.upload_bytes.is_empty() && after.readback_bytes.is_empty());
        assert_eq!(before.dispatches["add"], 5);
        assert_eq!((before.submits, before.recordings), (2, 2));
    });
}

#[test]
fn a_wait_that_blocks_is_counted_once() {
    with_device(|f| {
        let word = f.words("word", &[1]);
        let spin = f.spin();
        // The rounds grow until the host is sure to come first.
        let mut rounds = 1 << 20;
        loop {
            let step = f.device.record("spin", |r| {
                r.keep(&word);
                r.dispatch(&spin, &push_one(&word, rounds), [1, 1, 1]);
            });
            let step = step.expect("a recording");
            let before = f.before_seal().host_waits;
            let ticket = f.device.submit(&[&step]).expect("a submit");
            let early = !f.device.reached(ticket).expect("a look");
            f.device.wait(ticket).expect("a wait");
            assert!(f.device.reached(ticket).expect("a look"));
            let waits = f.before_seal().host_waits - before;
            assert!(waits <= 1);
            if early && waits == 1 {
                return;
            }
            assert!(rounds < 1 << 30, "the device outran the host each time");
            rounds *= 4;
        }
    });
}

#[test]
fn a_wait_ends_at_the_timeout_and_at_the_interrupt_and_the_device_lives_on() {
    let busy = |options: Options, expected: fn(&Error) -> bool| {
        with_options(options, |f| {
            let word = f.words("word", &[1]);
            let spin = f.spin();
            let step = f
                .device
                .record("spin", |r| {
                    r.keep(&word);
                    r.dispatch(&spin, &push_one(&word, 1 << 22), [1, 1, 1]);
                })
                .expect("a recording");
            // Grows until the GPU is busy for longer than the wait's patience.
            for replays in [8, 32, 128, 512, 2048] {
                let ticket = f.device.submit(&vec![&step; replays]).expect("a submit");
                if let Err(error) = f.device.wait(ticket) {
                    assert!(expected(&error), "{error}");
                    assert!(error.to_string().contains("spin"), "{error}");
                    // Dropped while the GPU is busy: the drop waits.
                    drop(step);
                    assert!(f.device.reached(ticket).expect("a look"));
                    return;
                }
            }
            panic!("the wait never ended early");
        });
    };
    let timeout = Options { timeout: Duration::from_millis(20), ..Options::default() };
    busy(timeout, |error| matches!(error, Error::Timeout { .. }));
    let flag = Arc::new(AtomicBool::new(true));
    let interrupt = Options { interrupt: Some(flag.clone()), ..Options::default() };
    busy(interrupt, |error| matches!(error, Error::Interrupted { .. }));
    assert!(flag.load(Ordering::Relaxed));
}

#[test]
fn a_recording_keeps_what_it_uses_alive() {
    with_device(|f| {
        let result = f.words("result", &[0; 64]);
        let step = {
            let scratch = f.words("scratch", &[7; 64]);
            let add = f.add(1);
            f.device
                .record("step", |r| {
                    r.keep(&scratch);
                    r.dispatch(&add, &push_one(&scratch, 64), groups(64));
                    r.copy(&scratch, 0, &result, 0, 256);
                })
                .expect("a recording")
        };
        // Would take the memory of `scratch` if it were free.
        let other = f.words("other", &[100; 64]);
        f.device.submit(&[&step]).expect("a submit");
        assert_eq!((f.read_words(&result), f.read_words(&other)), (vec![8; 64], vec![100; 64]));
    });
}

#[test]
fn too_many_workgroups_are_refused_by_name() {
    with_device(|f| {
        let x = f.words("x", &[0; 64]);
        let add = f.add(1);
        for groups in [[0, 1, 1], [1, 1, u32::MAX]] {
            let recorded = f.device.record("step", |r| r.dispatch(&add, &push_one(&x, 64), groups));
            let error = recorded.expect_err("recorded");
            assert!(matches!(error, Error::GroupCount { .. }), "{error}");
            assert!(error.to_string().contains("step") && error.to_string().contains("add"), "{error}");
        }
        assert_eq!(f.before_seal().recordings, 1, "only the upload of x");
    });
}

#[test]
fn push_constants_of_the_wrong_size_panic() {
    with_device(|f| {
        let add = f.add(1);
        let wrong = || f.device.record("step", |r| r.dispatch(&add, &[0; 8], [1, 1, 1])).map(|_| ());
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).expect_err("no panic");
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(message.contains("add") && message.contains("expected 12"), "{message}");
    });
}

#[test]
fn timestamps_rise_and_measure_work() {
    with_device(|f| {
        if f.device.info().limits.timestamp_valid_bits == 0 {
            return;
        }
        let word = f.words("word", &[1]);
        let spin = f.spin();
        let pool = f.device.timestamps("profile", 4).expect("timestamps");
        let step = f
            .device
            .record_timed("step", &pool, |r| {
                r.keep(&word);
                r.timestamp(0);
                for slot in 1..4 {
                    r.dispatch(&spin, &push_one(&word, 1 << (10 + 2 * slot)), [1, 1, 1]);
                    r.barrier();
                    r.timestamp(slot);
                }
            })
            .expect("a recording");
        let early = f.device.read_timestamps(&pool).expect_err("read before they were written");
        assert!(matches!(early, Error::Timestamps { .. }), "{early}");
        for _ in 0..2 {
            let start = Instant::now();
            let ticket = f.device.submit(&[&step, &step]).expect("a submit");
            f.device.wait(ticket).expect("a wait");
            let wall_ns = start.elapsed().as_nanos() as u64;
            let times = f.device.read_timestamps(&pool).expect("timestamps");
            assert_eq!((times.len(), times[0]), (4, 0));
            assert!(times.is_sorted(), "{times:?}");
            assert!(times[3] > 0 && times[3] <= wall_ns, "{times:?} of {wall_ns}");
        }
        assert_eq!(f.before_seal().readback_bytes["timestamps"], 64);
    });
}

#[test]
fn a_slot_that_nobody_writes_is_an_error() {
    with_device(|f| {
        if f.device.info().limits.timestamp_valid_bits == 0 {
            return;
        }
        let pool = f.device.timestamps("profile", 2).expect("timestamps");
        let step = f.device.record_timed("step", &pool, |r| r.timestamp(0)).expect("a recording");
        let ticket = f.device.submit(&[&step]).expect("a submit");
        f.device.wait(ticket).expect("a wait");
        let error = f.device.read_timestamps(&pool).expect_err("read an unwritten slot");
        assert!(error.to_string().contains("profile"), "{error}");
    });
}

#[test]
fn mapped_words_are_polled_while_the_device_runs() {
    with_device(|f| {
        let ring = f.device.allocate("ring", 256, Memory::Mapped).expect("a ring");
        let add = f.add(1);
        let step = f
            .device
            .record("step", |r| {
                r.keep(&ring);
                r.dispatch(&add, &push_one(&ring, 1), [1, 1, 1]);
                r.host_barrier();
            })
            .expect("a recording");
        f.device.seal().expect("the seal");
        let ticket = f.device.submit(&[&step; 100]).expect("a submit");
        let start = Instant::now();
        let mut last = 0;
        while last < 100 {
            let seen = ring.read_u32(0);
            assert!(seen >= last);
            last = seen;
            assert!(start.elapsed() < Duration::from_secs(60), "stuck at {last}");
        }
        let after = f.after_seal();
        assert_eq!((after.host_waits, after.submits, after.dispatches["add"]), (0, 1, 100));
        assert!(after.readback_bytes.is_empty(), "polling is not counted");
        f.device.wait(ticket).expect("a wait");
    });
}

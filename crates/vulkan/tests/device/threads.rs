//! One device, many threads.

use crate::fixture::{groups, noise, push_one, with_device};
use resident_vulkan::Memory;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const THREADS: usize = 8;

#[test]
fn threads_submit_and_wait_at_the_same_time() {
    with_device(|f| {
        let buffers: Vec<_> = (0..THREADS).map(|_| f.words("x", &[0; 256])).collect();
        let add = f.add(1);
        let before = f.before_seal();
        thread::scope(|scope| {
            for buffer in &buffers {
                let add = &add;
                scope.spawn(move || {
                    let step = f
                        .device
                        .record("step", |r| {
                            r.keep(buffer);
                            r.dispatch(add, &push_one(buffer, 256), groups(256));
                        })
                        .expect("a recording");
                    let mut last = None;
                    for _ in 0..25 {
                        let ticket = f.device.submit(&[&step, &step]).expect("a submit");
                        assert!(Some(ticket) > last, "tickets rise");
                        last = Some(ticket);
                        f.device.wait(ticket).expect("a wait");
                    }
                });
            }
        });
        let counters = f.before_seal();
        assert_eq!(counters.submits - before.submits, 25 * THREADS as u64);
        assert_eq!(counters.recordings - before.recordings, THREADS as u64);
        assert_eq!(counters.dispatches["add"], 50 * THREADS as u64);
        for buffer in &buffers {
            assert_eq!(f.read_words(buffer), [50; 256]);
        }
    });
}

#[test]
fn threads_share_an_uploader_and_read_back_meanwhile() {
    with_device(|f| {
        const BYTES: usize = (3 << 20) + 17;
        let buffers: Vec<_> = (0..THREADS)
            .map(|i| f.device.allocate(&format!("w{i}"), BYTES as u64, Memory::Device).expect("a buffer"))
            .collect();
        let uploader = f.device.uploader("weights").expect("an uploader");
        thread::scope(|scope| {
            for (seed, buffer) in buffers.iter().enumerate() {
                let uploader = &uploader;
                scope.spawn(move || {
                    let bytes = noise(BYTES, seed as u64);
                    for (part, chunk) in bytes.chunks(100_003).enumerate() {
                        uploader.write(buffer, part as u64 * 100_003, chunk).expect("a write");
                    }
                });
                scope.spawn(move || {
                    let mut back = vec![0; BYTES];
                    f.device.readback(buffer, 0, &mut back, "early").expect("a readback");
                });
            }
        });
        uploader.finish().expect("the uploads");
        assert_eq!(f.before_seal().upload_bytes["weights"], (THREADS * BYTES) as u64);
        for (seed, buffer) in buffers.iter().enumerate() {
            let mut back = vec![0; BYTES];
            f.device.readback(buffer, 0, &mut back, "weights").expect("a readback");
            assert!(back == noise(BYTES, seed as u64), "{buffer:?}");
        }
    });
}

#[test]
fn an_upload_is_seen_by_what_is_submitted_next_though_another_thread_is_still_writing() {
    with_device(|f| {
        let (slow, fast) = (f.words("slow", &[0; 256]), f.words("fast", &[0; 256]));
        let add = f.add(1);
        let step = f
            .device
            .record("step", |r| {
                r.keep(&fast);
                r.dispatch(&add, &push_one(&fast, 256), groups(256));
            })
            .expect("a recording");
        let uploader = f.device.uploader("weights").expect("an uploader");
        let (writing, is_writing) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let fill = |_, piece: &mut [u8]| {
                    writing.send(()).expect("the test");
                    thread::sleep(Duration::from_millis(100));
                    piece.fill(7);
                };
                uploader.write_with(&slow, 0, 1024, 1, fill).expect("a write");
            });
            is_writing.recv().expect("the writer");
            // Shares a staging slot with the piece that is being written.
            f.device.upload(&fast, 0, &41u32.to_ne_bytes().repeat(256), "input").expect("an upload");
            f.device.wait(f.device.submit(&[&step]).expect("a submit")).expect("a wait");
        });
        assert_eq!(f.read_words(&fast), [42; 256]);
        assert_eq!(f.read_words(&slow), [0x0707_0707; 256]);
    });
}

#[test]
fn threads_that_want_the_same_pipeline_make_one() {
    with_device(|f| {
        let pipelines: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| f.add(3))).collect();
            asking.into_iter().map(|thread| thread.join().expect("a pipeline")).collect()
        });
        assert!(pipelines.windows(2).all(|pair| pair[0].is(&pair[1])));
        assert_eq!(f.before_seal().pipeline_creations, 1);
    });
}

#[test]
fn threads_allocate_and_drop() {
    with_device(|f| {
        thread::scope(|scope| {
            for thread in 0..THREADS as u64 {
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..200u64 {
                        let bytes = 1 + (thread * 7919 + round * 104_729) % 100_000;
                        held.push(f.device.allocate("x", bytes, Memory::Device).expect("a buffer"));
                        if round % 3 == 0 {
                            held.swap_remove(round as usize % held.len());
                        }
                    }
                });
            }
        });
        assert_eq!(f.device.memory_use(Memory::Device).buffer_bytes, 0);
    });
}

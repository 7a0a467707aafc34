//! Uploads, fills and readbacks through the staging ring.

use crate::fixture::{groups, noise, push_one, with_device};
use resident_vulkan::Memory;

const MIB: usize = 1 << 20;

#[test]
fn what_goes_up_comes_back_at_odd_sizes_and_offsets() {
    with_device(|f| {
        let buffer = f.device.allocate("x", 10_000, Memory::Device).expect("a buffer");
        f.device.fill(&buffer, 0, 10_000, 0xa5a5_a5a5).expect("a fill");
        let mut expected = vec![0xa5; 10_000];
        for (seed, (offset, length)) in
            [(0, 1), (1, 3), (7, 64), (255, 257), (4097, 1023), (9_999, 1)].into_iter().enumerate()
        {
            let bytes = noise(length, seed as u64);
            f.device.upload(&buffer, offset as u64, &bytes, "x").expect("an upload");
            expected[offset..offset + length].copy_from_slice(&bytes);
        }
        let mut all = vec![0; 10_000];
        f.device.readback(&buffer, 0, &mut all, "x").expect("a readback");
        assert!(all == expected);
        let mut part = vec![0; 333];
        f.device.readback(&buffer, 251, &mut part, "x").expect("a readback");
        assert!(part == expected[251..584]);
    });
}

#[test]
fn a_transfer_larger_than_the_ring_goes_through_it() {
    with_device(|f| {
        let bytes = noise(77 * MIB + 13, 1);
        let buffer = f.device.allocate("w", bytes.len() as u64 + 5, Memory::Device).expect("a buffer");
        f.device.upload(&buffer, 5, &bytes, "weights").expect("an upload");
        let mut back = vec![0; bytes.len()];
        f.device.readback(&buffer, 5, &mut back, "weights").expect("a readback");
        assert!(back == bytes);
        let counters = f.before_seal();
        assert_eq!(counters.upload_bytes["weights"], bytes.len() as u64);
        assert_eq!(counters.readback_bytes["weights"], bytes.len() as u64);
        // Ten slots of 8 MiB up, ten down.
        assert_eq!((counters.submits, counters.recordings), (20, 20));
    });
}

#[test]
fn small_writes_share_a_submission() {
    with_device(|f| {
        let buffers: Vec<_> = (0..100)
            .map(|i| f.device.allocate(&format!("b{i}"), 1000, Memory::Device).expect("a buffer"))
            .collect();
        let uploader = f.device.uploader("weights").expect("an uploader");
        for (seed, buffer) in buffers.iter().enumerate() {
            uploader.write(buffer, 0, &noise(1000, seed as u64)).expect("a write");
        }
        uploader.finish().expect("the uploads");
        assert_eq!(f.before_seal().submits, 1);
        assert_eq!(f.before_seal().upload_bytes["weights"], 100_000);
        for (seed, buffer) in buffers.iter().enumerate() {
            let mut back = vec![0; 1000];
            f.device.readback(buffer, 0, &mut back, "x").expect("a readback");
            assert!(back == noise(1000, seed as u64), "{buffer:?}");
        }
    });
}

#[test]
fn a_repacker_writes_whole_granules_straight_into_the_ring() {
    with_device(|f| {
        const GRANULE: usize = 34 * 1024;
        let bytes = noise(700 * GRANULE, 3);
        let buffer = f.device.allocate("w", bytes.len() as u64, Memory::Device).expect("a buffer");
        let uploader = f.device.uploader("weights").expect("an uploader");
        uploader.write(&buffer, 0, &[9]).expect("a write that leaves the next piece unaligned");
        let mut pieces = 0;
        uploader
            .write_with(&buffer, 0, bytes.len() as u64, GRANULE as u64, |at, piece| {
                assert_eq!((at as usize % GRANULE, piece.len() % GRANULE), (0, 0));
                assert_eq!(piece.as_ptr().align_offset(64), 0, "a piece begins at a cache line");
                piece.copy_from_slice(&bytes[at as usize..at as usize + piece.len()]);
                pieces += 1;
            })
            .expect("a write");
        uploader.finish().expect("the uploads");
        assert!(pieces > 1);
        let mut back = vec![0; bytes.len()];
        f.device.readback(&buffer, 0, &mut back, "w").expect("a readback");
        assert!(back == bytes);
    });
}

#[test]
fn overlapping_writes_of_one_submission_keep_their_order() {
    with_device(|f| {
        let buffer = f.device.allocate("x", 4096, Memory::Device).expect("a buffer");
        let uploader = f.device.uploader("x").expect("an uploader");
        for round in 0..50u8 {
            uploader.write(&buffer, u64::from(round), &[round; 1000]).expect("a write");
        }
        // A fill comes after what was written before it.
        f.device.fill(&buffer, 0, 16, 0).expect("a fill");
        uploader.write(&buffer, 4, &[0xff; 4]).expect("a write");
        uploader.finish().expect("the uploads");
        let mut back = vec![0; 1049];
        f.device.readback(&buffer, 0, &mut back, "x").expect("a readback");
        assert_eq!(back[..16], [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((back[16], back[48]), (16, 48));
        assert!(back[49..].iter().all(|&byte| byte == 49));
    });
}

#[test]
fn a_fill_reaches_the_end_of_an_odd_buffer_and_no_further() {
    with_device(|f| {
        let buffers = ["x", "y"].map(|name| f.device.allocate(name, 255, Memory::Device).expect("a buffer"));
        f.device.fill(&buffers[1], 0, 255, 0).expect("a fill");
        f.device.fill(&buffers[0], 4, 251, 0x0403_0201).expect("a fill");
        let mut back = [vec![0; 255], vec![0xff; 255]];
        for (buffer, bytes) in buffers.iter().zip(&mut back) {
            f.device.readback(buffer, 0, bytes, "x").expect("a readback");
        }
        assert_eq!((&back[0][250..], &back[1]), (&[3, 4, 1, 2, 3][..], &vec![0; 255]));
        let part = || f.device.fill(&buffers[0], 0, 7, 0);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)).is_err());
    });
}

#[test]
fn an_abandoned_uploader_still_delivers() {
    with_device(|f| {
        let buffer = f.device.allocate("x", 64, Memory::Device).expect("a buffer");
        f.device.uploader("x").expect("an uploader").write(&buffer, 0, &[7; 64]).expect("a write");
        assert_eq!(f.read_words(&buffer), [0x0707_0707; 16]);
    });
}

#[test]
fn a_writer_that_panics_does_not_block_the_ring() {
    with_device(|f| {
        let buffer = f.device.allocate("x", 64, Memory::Device).expect("a buffer");
        let uploader = f.device.uploader("x").expect("an uploader");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            uploader.write_with(&buffer, 0, 64, 1, |_, _| panic!("a bug in a repacker"))
        }));
        assert!(panicked.is_err());
        uploader.write(&buffer, 0, &[3; 64]).expect("a write");
        uploader.finish().expect("the uploads");
        assert_eq!(f.read_words(&buffer), [0x0303_0303; 16]);
    });
}

#[test]
fn an_upload_without_a_wait_is_seen_by_the_next_submission() {
    with_device(|f| {
        let add = f.add(1);
        let buffer = f.device.allocate("x", 4 * 4096, Memory::Device).expect("a buffer");
        let step = f
            .device
            .record("step", |r| {
                r.keep(&buffer);
                r.dispatch(&add, &push_one(&buffer, 4096), groups(4096));
            })
            .expect("a recording");
        for round in 0..20u32 {
            f.device.fill(&buffer, 0, buffer.bytes(), round).expect("a fill");
            f.device.upload(&buffer, 400, &(round + 100).to_le_bytes(), "x").expect("an upload");
            f.device.submit(&[&step]).expect("a submit");
            let back = f.read_words(&buffer);
            assert_eq!((back[0], back[100], back[4095]), (round + 1, round + 101, round + 1));
        }
    });
}

//! After the seal: what is refused, and what still works.

use crate::fixture::{ADD, groups, push_one, to_words, with_device};
use resident_vulkan::{Error, Memory, PipelineSpec};

#[test]
fn everything_that_belongs_before_the_seal_is_refused_by_name_after_it() {
    with_device(|f| {
        let x = f.words("x", &[1; 64]);
        let uploader = f.device.uploader("weights").expect("an uploader");
        let spec = PipelineSpec { name: "late", spirv: ADD, push_bytes: 12, ..PipelineSpec::default() };
        f.device.seal().expect("the seal");

        let mut out = [0; 4];
        let refused = [
            ("allocation of y", f.device.allocate("y", 4, Memory::Device).map(|_| ())),
            ("allocation of z", f.device.allocate("z", 4, Memory::Mapped).map(|_| ())),
            ("upload of x", f.device.upload(&x, 0, &[0; 4], "weights")),
            ("upload of x", uploader.write(&x, 0, &[0; 4])),
            ("upload of weights", f.device.uploader("weights").map(|_| ())),
            ("fill of x", f.device.fill(&x, 0, 4, 0)),
            ("readback of x", f.device.readback(&x, 0, &mut out, "x")),
            ("declaration of a readback of x", f.device.declare_readback(&x, 0, 4, "x").map(|_| ())),
            ("pipeline creation of late", f.device.pipeline(&spec).map(|_| ())),
            ("recording of step", f.device.record("step", |_| ()).map(|_| ())),
            ("allocation of timestamps of t", f.device.timestamps("t", 1).map(|_| ())),
        ];
        for (start, result) in refused {
            let error = result.expect_err(start);
            assert!(matches!(error, Error::Sealed { .. }), "{error}");
            assert_eq!(error.to_string(), format!("{start} after the seal; do it before seal()"));
        }
        assert_eq!(f.after_seal(), resident_ledger::Counters::default());
    });
}

#[test]
fn a_declared_readback_runs_after_the_seal_and_is_counted() {
    with_device(|f| {
        let x = f.words("x", &(0..100).collect::<Vec<_>>());
        let add = f.add(1000);
        let readback = f.device.declare_readback(&x, 40, 80, "logits").expect("a declaration");
        let step = f
            .device
            .record("step", |r| {
                r.keep(&x);
                r.dispatch(&add, &push_one(&x, 100), groups(100));
            })
            .expect("a recording");
        f.device.seal().expect("the seal");

        assert_eq!(to_words(&readback.run().expect("a readback"))[..3], [10, 11, 12]);
        f.device.submit(&[&step]).expect("a submit");
        assert_eq!(to_words(&readback.run().expect("a readback"))[..3], [1010, 1011, 1012]);
        // In the caller's own submission.
        let ticket = f.device.submit(&[&step, readback.recording()]).expect("a submit");
        f.device.wait(ticket).expect("a wait");
        let mut out = vec![0; 80];
        readback.collect(&mut out);
        assert_eq!(to_words(&out)[..3], [2010, 2011, 2012]);

        let after = f.after_seal();
        assert_eq!(after.readback_bytes["logits"], 240);
        assert_eq!((after.submits, after.dispatches["add"]), (4, 2));
        assert!(after.host_waits <= 3);
        assert_eq!((after.allocations, after.recordings), (0, 0));
    });
}

#[test]
fn the_seal_frees_the_staging_memory_and_delivers_what_was_under_way() {
    with_device(|f| {
        let x = f.device.allocate("x", 256, Memory::Device).expect("a buffer");
        let readback = f.device.declare_readback(&x, 0, 256, "x").expect("a declaration");
        let uploader = f.device.uploader("x").expect("an uploader");
        uploader.write(&x, 0, &[5; 256]).expect("a write");
        assert_eq!(f.device.memory_use(Memory::Mapped).blocks, 2);
        f.device.seal().expect("the seal");
        uploader.finish().expect("an uploader may finish late");
        assert_eq!(f.device.memory_use(Memory::Mapped).blocks, 1);
        assert_eq!(readback.run().expect("a readback"), vec![5; 256]);
    });
}

#[test]
fn sealing_twice_is_sealing_once() {
    with_device(|f| {
        f.device.seal().expect("the seal");
        f.device.seal().expect("the seal");
        assert!(f.ledger.is_sealed());
    });
}

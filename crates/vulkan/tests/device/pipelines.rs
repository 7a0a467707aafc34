//! Pipelines and their cache on disk.

use crate::fixture::{ADD, SPIN, groups, push_one, with_device, with_options};
use resident_vulkan::{CacheState, Error, Options, PipelineSpec};
use std::path::Path;

fn spec<'a>(specialization: &'a [u32]) -> PipelineSpec<'a> {
    PipelineSpec { name: "add", spirv: ADD, push_bytes: 12, specialization, ..PipelineSpec::default() }
}

#[test]
fn equal_specs_share_a_pipeline() {
    with_device(|f| {
        let make = |spec: PipelineSpec<'_>| f.device.pipeline(&spec).expect("a pipeline");
        let first = make(spec(&[64, 1]));
        // The same words at another address, not even aligned.
        let shifted = [&[0][..], ADD].concat();
        let again = make(PipelineSpec { spirv: &shifted[1..], ..spec(&[64, 1]) });
        assert!(first.is(&again));
        assert_eq!(f.before_seal().pipeline_creations, 1);

        let others = [
            make(spec(&[64, 2])),
            make(spec(&[32, 1])),
            make(spec(&[64])),
            make(PipelineSpec { name: "sum", ..spec(&[64, 1]) }),
            make(PipelineSpec { spirv: SPIN, ..spec(&[64, 1]) }),
            make(PipelineSpec { push_bytes: 16, ..spec(&[64, 1]) }),
        ];
        assert!(others.iter().all(|other| !other.is(&first)));
        assert_eq!(f.before_seal().pipeline_creations, 7);

        drop((first, again));
        make(spec(&[64, 1]));
        assert_eq!(f.before_seal().pipeline_creations, 8, "made anew once nobody held it");
    });
}

#[test]
fn specialization_constants_reach_the_shader() {
    with_device(|f| {
        let x = f.words("x", &[0; 100]);
        // Workgroups of 10, so ten of them cover 100 words only if the constant is heard.
        let add = f.device.pipeline(&spec(&[10, 7])).expect("a pipeline");
        let step = f.device.record("step", |r| {
            r.keep(&x);
            r.dispatch(&add, &push_one(&x, 100), [10, 1, 1]);
        });
        f.device.submit(&[&step.expect("a recording")]).expect("a submit");
        assert_eq!(f.read_words(&x), [7; 100]);
    });
}

#[test]
fn a_shader_the_device_cannot_take_is_refused_by_name() {
    with_device(|f| {
        let features = &f.device.info().features;
        let too_large = f.device.info().limits.max_push_constants_bytes + 4;
        let cases = [
            (PipelineSpec { spirv: b"", ..spec(&[]) }, "SPIR-V"),
            (PipelineSpec { spirv: &ADD[..ADD.len() - 1], ..spec(&[]) }, "SPIR-V"),
            (PipelineSpec { spirv: &[7; 64], ..spec(&[]) }, "SPIR-V"),
            (PipelineSpec { push_bytes: too_large, ..spec(&[]) }, "maxPushConstantsSize"),
            (
                PipelineSpec { required_subgroup_size: Some(features.max_subgroup_size * 2), ..spec(&[]) },
                "subgroups of",
            ),
            (PipelineSpec { required_subgroup_size: Some(3), ..spec(&[]) }, "subgroups of 3"),
        ];
        for (spec, expected) in cases {
            let error = f.device.pipeline(&spec).expect_err("a pipeline");
            assert!(matches!(error, Error::Shader { .. }), "{error}");
            assert!(error.to_string().contains("pipeline add") && error.to_string().contains(expected));
        }
        assert_eq!(f.before_seal().pipeline_creations, 0);
    });
}

#[test]
fn a_required_subgroup_size_that_the_device_has_works() {
    with_device(|f| {
        let features = f.device.info().features.clone();
        if !features.subgroup_size_control || !features.compute_full_subgroups {
            return;
        }
        let x = f.words("x", &[0; 256]);
        let size = features.max_subgroup_size;
        let constants = [size, 3];
        let wanted =
            PipelineSpec { required_subgroup_size: Some(size), full_subgroups: true, ..spec(&constants) };
        let add = f.device.pipeline(&wanted).expect("a pipeline");
        let step = f.device.record("step", |r| {
            r.keep(&x);
            r.dispatch(&add, &push_one(&x, 256), [256 / size, 1, 1]);
        });
        f.device.submit(&[&step.expect("a recording")]).expect("a submit");
        assert_eq!(f.read_words(&x), [3; 256]);
    });
}

#[test]
fn statistics_are_there_where_the_driver_gives_them() {
    with_options(Options { statistics: true, ..Options::default() }, |f| {
        let statistics = f.add(1).statistics().expect("statistics");
        assert_eq!(statistics.is_empty(), !f.device.info().features.pipeline_executable_properties);
    });
    with_device(|f| assert!(f.add(1).statistics().expect("statistics").is_empty()));
}

/// Opens a device with a cache in `folder`, makes and runs a pipeline, and returns what became of the cache.
fn run_with_cache(folder: &Path) -> Option<CacheState> {
    let options = Options { pipeline_cache_dir: Some(folder.to_owned()), ..Options::default() };
    let mut state = None;
    with_options(options, |f| {
        let x = f.words("x", &[0; 64]);
        let add = f.add(9);
        let step = f.device.record("step", |r| {
            r.keep(&x);
            r.dispatch(&add, &push_one(&x, 64), groups(64));
        });
        f.device.submit(&[&step.expect("a recording")]).expect("a submit");
        assert_eq!(f.read_words(&x), [9; 64]);
        f.device.seal().expect("the seal");
        assert_eq!(f.before_seal().pipeline_creations, 1, "a hit on disk counts as well");
        state = Some(f.device.pipeline_cache());
    });
    state
}

#[test]
fn the_cache_is_written_read_again_and_ignored_when_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("not/there/yet");
    let Some(first) = run_with_cache(&inner) else { return };
    assert_eq!((first.loaded_bytes, &first.note), (0, &None));
    assert!(first.saved_bytes > 0);
    let path = first.path.expect("a path");
    let written = std::fs::read(&path).expect("the cache file");
    let names = |folder: &Path| std::fs::read_dir(folder).expect("the folder").count();
    assert_eq!(names(&inner), 1, "nothing temporary is left");

    let second = run_with_cache(&inner).expect("a device");
    assert_eq!((second.loaded_bytes, &second.note), (first.saved_bytes, &None));

    for damage in [b"".to_vec(), b"garbage".to_vec(), written[..written.len() / 2].to_vec(), {
        let mut flipped = written.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        flipped
    }] {
        std::fs::write(&path, &damage).expect("writing the damage");
        let damaged = run_with_cache(&inner).expect("a device");
        assert_eq!(damaged.loaded_bytes, 0);
        assert!(damaged.note.as_ref().is_some_and(|note| note.starts_with("ignored: ")), "{damaged:?}");
        assert!(damaged.saved_bytes > 0, "a good one is written over it");
    }
    assert_eq!(run_with_cache(&inner).expect("a device").note, None);
}

#[test]
fn a_cache_that_cannot_be_written_hurts_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("a file");
    let Some(state) = run_with_cache(&file) else { return };
    assert_eq!(state.saved_bytes, 0);
    assert!(state.note.is_some_and(|note| note.starts_with("not written: ")));
    with_options(Options { pipeline_cache_dir: Some(file), ..Options::default() }, |f| {
        let error = f.device.save_pipeline_cache().expect_err("saved into a file's inside");
        assert!(matches!(error, Error::Cache { .. }), "{error}");
    });
}

#[test]
fn without_a_folder_there_is_no_cache() {
    with_device(|f| {
        f.add(1);
        f.device.save_pipeline_cache().expect("nothing to do");
        assert_eq!(f.device.pipeline_cache(), CacheState::default());
    });
}

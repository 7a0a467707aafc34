//! The plain reference of `codec_spectra`: walks through the generator's numbers.

use super::PCG_MULTIPLIER;
use crate::codec::{BandCounts, Place};
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let counts: BandCounts = dispatch.params();
    let [low, anchors] = [counts.low, counts.anchors].map(|count| count as usize);
    let cells = (dispatch.specialization[1] as usize).pow(2);
    let z = memory.read::<f32>(dispatch.slice("z"));
    let places = memory.read::<u32>(dispatch.slice("places"));
    let generator = memory.read::<[u32; 4]>(dispatch.slice("generator"));
    let mut spectra = memory.write::<[f32; 2]>(dispatch.slice("spectra"));
    let header = &z[2 * low..];
    let (mid_energy, high_energy) = (f64::from(header[1]), f64::from(header[2]));
    let kept = counts.kept_anchors(header[3]);

    let [mut state, increment] =
        [0, 1].map(|at| generator[at].iter().rev().fold(0u128, |wide, word| wide << 32 | u128::from(*word)));
    let mut phases = |wanted: bool| -> Vec<f64> {
        let mut next = || {
            state = state.wrapping_mul(PCG_MULTIPLIER).wrapping_add(increment);
            let bits = ((state >> 64) as u64 ^ state as u64).rotate_right((state >> 122) as u32);
            std::f64::consts::TAU * (bits >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..if wanted { cells } else { 0 }).map(|_| next()).collect()
    };
    let mid = phases(counts.mid > kept && mid_energy > 0.0);
    let high = phases(high_energy > 0.0);
    let mode = |energy: f64, phases: &[f64], at: usize| match phases.get(at) {
        Some(phase) => [phase.cos(), phase.sin()].map(|part| (energy.sqrt() * part) as f32),
        None => [0.0; 2],
    };
    for at in 0..cells {
        let mut modes = [[0.0f32; 2]; 4];
        match Place::of(places[at]) {
            Place::Low(index) => modes[0] = [z[index as usize], z[low + index as usize]],
            Place::Anchor(index) if index < kept => {
                let first = 4 + index as usize;
                modes[1] = [header[first], header[first + anchors]];
            }
            Place::Mid | Place::Anchor(_) => modes[2] = mode(mid_energy, &mid, at),
            Place::High => modes[3] = mode(high_energy, &high, at),
        }
        for (field, mode) in modes.into_iter().enumerate() {
            spectra[field * cells + at] = mode;
        }
    }
}

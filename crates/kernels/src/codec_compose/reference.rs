//! The plain reference of `codec_compose`.

use super::{AtomWords, ComposeOptions};
use crate::{Dispatch, HostMemory};
use std::f64::consts::TAU;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let n = dispatch.specialization[1] as usize;
    let cells = n * n;
    let fields = memory.read::<[f32; 2]>(dispatch.slice("fields"));
    let signs = memory.read::<i32>(dispatch.slice("signs"));
    let gains = memory.read::<f32>(dispatch.slice("gains"));
    let options = memory.read::<ComposeOptions>(dispatch.slice("options"))[0];
    let atoms = memory.read::<AtomWords>(dispatch.slice("atoms"));
    let mut decoded = memory.write::<u32>(dispatch.slice("decoded"));
    let part = |field: usize, at: usize| f64::from(fields[field * cells + at][0]);
    let distance = |index: usize, centre: f32| {
        let d = ((index as f64 + 0.5) * TAU / n as f64 - f64::from(centre)).abs();
        d.min(TAU - d)
    };
    for at in 0..cells {
        let mut value = part(0, at);
        if options.without_anchors == 0 {
            value += part(1, at);
        }
        if signs[at] != 0 {
            value += f64::from(gains[0]) * part(2, at) + f64::from(gains[1]) * part(3, at);
        }
        for atom in &atoms[..options.atoms as usize] {
            let square = distance(at % n, atom.x).powi(2) + distance(at / n, atom.y).powi(2);
            value += f64::from(atom.height) * (-square * f64::from(atom.falloff)).exp();
        }
        decoded[at] = (value as f32).to_bits();
        decoded[cells + at] = fields[at][0].to_bits();
        decoded[2 * cells + at] = fields[cells + at][0].to_bits();
        decoded[3 * cells + at] = u32::from(signs[at] != 0);
    }
}

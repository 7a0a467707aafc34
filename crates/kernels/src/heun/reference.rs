//! The plain references of `heun_predict` and `heun_correct`.

use super::{CorrectParams, Step};
use crate::{Dispatch, HostMemory};

/// ν ∇²ω − (u ω_x + v ω_y) in a cell.
fn tendency(fields: &[[f32; 2]], cells: usize, at: usize, viscosity: f64) -> f64 {
    let [u, v] = fields[at].map(f64::from);
    let [w_x, w_y] = fields[cells + at].map(f64::from);
    viscosity * f64::from(fields[2 * cells + at][0]) - (u * w_x + v * w_y)
}

pub(super) fn predict(dispatch: &Dispatch, memory: &HostMemory) {
    let Step { cells, dt, nu0, length_square } = dispatch.params();
    let omega = memory.read::<f32>(dispatch.slice("omega"));
    let fields = memory.read::<[f32; 2]>(dispatch.slice("fields"));
    let mut viscosity = memory.write::<f32>(dispatch.slice("viscosity"));
    let mut tendencies = memory.write::<f32>(dispatch.slice("tendency"));
    let mut ahead = memory.write::<f32>(dispatch.slice("ahead"));
    let cells = cells as usize;
    for at in 0..cells {
        let [u_x, s_xy] = fields[3 * cells + at].map(f64::from);
        let strain = (4.0 * (u_x * u_x + s_xy * s_xy) + 1e-30).sqrt();
        let nu = f64::from(nu0) + f64::from(length_square) * strain;
        let k = tendency(&fields, cells, at, nu);
        viscosity[at] = nu as f32;
        tendencies[at] = k as f32;
        ahead[at] = (f64::from(omega[at]) + f64::from(dt) * k) as f32;
    }
}

pub(super) fn correct(dispatch: &Dispatch, memory: &HostMemory) {
    let CorrectParams { cells, dt } = dispatch.params();
    let fields = memory.read::<[f32; 2]>(dispatch.slice("fields"));
    let viscosity = memory.read::<f32>(dispatch.slice("viscosity"));
    let before = memory.read::<f32>(dispatch.slice("tendency"));
    let mut omega = memory.write::<f32>(dispatch.slice("omega"));
    for at in 0..cells as usize {
        let k = tendency(&fields, cells as usize, at, viscosity[at].into());
        omega[at] = (f64::from(omega[at]) + f64::from(dt) / 2.0 * (f64::from(before[at]) + k)) as f32;
    }
}

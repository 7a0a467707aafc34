//! `heun_predict`, `heun_correct`: the two halves of a time step of a two-dimensional flow by Heun's method, with
//! Smagorinsky's eddy viscosity kept over the step. Between them the derivatives of the vorticity ahead are made.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static PREDICT: Kernel = Kernel {
    name: "heun_predict",
    spirv: include_bytes!("heun_predict.spv"),
    host: reference::predict,
    reference: reference::predict,
};

static CORRECT: Kernel = Kernel {
    name: "heun_correct",
    spirv: include_bytes!("heun_correct.spv"),
    host: reference::correct,
    reference: reference::correct,
};

/// Push constants of [`predict::dispatch`] after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Step {
    /// Cells of the field.
    pub cells: u32,
    /// Length of the step.
    pub dt: f32,
    /// Viscosity of the fluid.
    pub nu0: f32,
    /// (Cs dx)².
    pub length_square: f32,
}

/// Push constants of [`correct::dispatch`] after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct CorrectParams {
    cells: u32,
    dt: f32,
}

fn grid(cells: u32) -> Grid {
    Grid::Groups([cells.div_ceil(LOCAL_SIZE), 1, 1])
}

/// The first half.
pub mod predict {
    use super::*;

    crate::bindings! {
        /// Buffers, in push-constant order.
        pub struct Bindings {
            /// f32 (cells).
            omega: Read,
            /// f32 (4, cells, 2), as `flow_spectra` orders them.
            fields: Read,
            /// f32 (cells).
            viscosity: Write,
            /// f32 (cells): dω/dt at the beginning.
            tendency: Write,
            /// f32 (cells): ω + dt · dω/dt.
            ahead: Write,
        }
    }

    /// Viscosity and tendency at the beginning of the step, and the vorticity ahead.
    pub fn dispatch(step: &Step, bindings: Bindings) -> Dispatch {
        let cells = u64::from(step.cells);
        Dispatch {
            kernel: &PREDICT,
            specialization: vec![LOCAL_SIZE],
            bindings: bindings.list(),
            params: bytemuck::bytes_of(step).to_vec(),
            grid: grid(step.cells),
            cost: Cost { weight_bytes: 0, activation_bytes: cells * 48, operations: cells * 15 },
        }
    }
}

/// The second half.
pub mod correct {
    use super::*;

    crate::bindings! {
        /// Buffers, in push-constant order.
        pub struct Bindings {
            /// f32 (3, cells, 2), of the vorticity ahead.
            fields: Read,
            /// f32 (cells).
            viscosity: Read,
            /// f32 (cells): dω/dt at the beginning.
            tendency: Read,
            /// f32 (cells).
            omega: ReadWrite,
        }
    }

    /// Adds dt/2 times both tendencies.
    pub fn dispatch(step: &Step, bindings: Bindings) -> Dispatch {
        let cells = u64::from(step.cells);
        Dispatch {
            kernel: &CORRECT,
            specialization: vec![LOCAL_SIZE],
            bindings: bindings.list(),
            params: bytemuck::bytes_of(&CorrectParams { cells: step.cells, dt: step.dt }).to_vec(),
            grid: grid(step.cells),
            cost: Cost { weight_bytes: 0, activation_bytes: cells * 40, operations: cells * 9 },
        }
    }
}

//! Language models: checkpoints, layers and architectures.

pub mod checkpoint;

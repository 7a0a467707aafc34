//! One file a command.

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod check;
pub(crate) mod devices;
pub(crate) mod embed;
pub(crate) mod list;
pub(crate) mod logits;
pub(crate) mod perplexity;
pub(crate) mod pull;
pub(crate) mod quantize;
pub(crate) mod rm;
pub(crate) mod rollout;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod synth;
pub(crate) mod tokenize;
pub(crate) mod verify;
pub(crate) mod vorticity;

//! Compares a resident model with a golden file: logits of whole prompts and the greedy continuation of each.
//!
//! A golden holds, for each prompt `P`: `P.ids` i32 \[N\], `P.logits` f32 \[N, vocab\] (or `P.logits_lastK` for the last K
//! positions), `P.greedy` i32 \[G\] (argmax, stop tokens ignored) and `P.greedy_margin` f32 \[G\] where it is known.

use crate::{Engine, EngineError, Request, Sampling};
use resident_tensor::compare;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

/// What a golden says of one prompt.
#[derive(Clone, Debug)]
pub struct GoldenPrompt {
    /// Its name in the file.
    pub name: String,
    /// The prompt.
    pub ids: Vec<u32>,
    /// Logits of its last positions, f32 `[positions, vocab]`.
    pub logits: Vec<f32>,
    /// The greedy continuation.
    pub greedy: Vec<u32>,
}

/// A golden file.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Its prompts, by name.
    pub prompts: Vec<GoldenPrompt>,
}

/// How one prompt compared.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PromptResult {
    /// The prompt's name.
    pub name: String,
    /// Its tokens.
    pub tokens: usize,
    /// Largest difference of a logit.
    pub max_abs: f64,
    /// Root of the mean squared difference.
    pub rms: f64,
    /// Largest expected logit less the smallest.
    pub range: f64,
    /// Greedy tokens that agree, from the first on.
    pub greedy_equal: usize,
    /// Greedy tokens expected.
    pub greedy_expected: usize,
    /// Whether logits and tokens are as they should be.
    pub passed: bool,
}

/// How a model compared with a golden.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verification {
    /// Largest logit difference that passes, relative to the range of the expected logits.
    pub tolerance: f64,
    /// Each prompt.
    pub prompts: Vec<PromptResult>,
    /// Whether all passed.
    pub passed: bool,
}

/// Activations are f32 throughout, whatever the weights: on models of this kind f32 differs from f64 by 1e-5 of the range,
/// the mildest mistake in the maths by 4e-2.
const TOLERANCE: f64 = 1e-4;

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// Missing, not safetensors, or without a tensor that belongs to a prompt.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let file = path.display().to_string();
        let fail = |problem: String| EngineError::Golden { file: file.clone(), problem };
        // Reading a pipe would wait for its writer, reading a device might never end.
        if !std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.is_file() {
            return Err(fail("this is no file; expected a golden of 'resident verify --help'".into()));
        }
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| {
            fail(format!("no safetensors file ({e}); expected a golden of 'resident verify --help'"))
        })?;
        let names: BTreeSet<&str> =
            tensors.names().into_iter().filter_map(|n| n.strip_suffix(".ids")).collect();
        if names.is_empty() {
            return Err(fail(
                "no tensor named '<prompt>.ids'; expected a golden of 'resident verify --help'".into(),
            ));
        }
        let prompts = names.into_iter().map(|name| {
            let logits = tensors
                .names()
                .into_iter()
                .find(|n| *n == format!("{name}.logits") || n.starts_with(&format!("{name}.logits_last")))
                .ok_or_else(|| fail(format!("{name}.logits is missing")))?
                .to_owned();
            let get = |tensor: &str| tensors.tensor(tensor).map_err(|_| fail(format!("{tensor} is missing")));
            let ids = |tensor: String| integers(&get(&tensor)?).map_err(|e| fail(format!("{tensor}: {e}")));
            Ok(GoldenPrompt {
                name: name.to_owned(),
                ids: ids(format!("{name}.ids"))?,
                logits: floats(&get(&logits)?).map_err(|e| fail(format!("{logits}: {e}")))?,
                greedy: ids(format!("{name}.greedy"))?,
            })
        });
        Ok(Self { prompts: prompts.collect::<Result<_, EngineError>>()? })
    }

    /// Positions that an engine needs to verify it.
    pub fn context(&self) -> u32 {
        self.prompts.iter().map(|p| p.ids.len() + p.greedy.len()).max().unwrap_or(0) as u32
    }
}

fn integers(view: &TensorView) -> Result<Vec<u32>, String> {
    if view.dtype() != Dtype::I32 {
        return Err(format!("{:?}, expected i32", view.dtype()));
    }
    let values = view.data().chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    values.map(|v| u32::try_from(v).map_err(|_| format!("token {v}, expected 0 or more"))).collect()
}

fn floats(view: &TensorView) -> Result<Vec<f32>, String> {
    if view.dtype() != Dtype::F32 {
        return Err(format!("{:?}, expected f32", view.dtype()));
    }
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let values: Vec<f32> = values.collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(format!("value {index} is {}, expected finite numbers", values[index])),
        None => Ok(values),
    }
}

impl Engine {
    /// Compares logits and greedy continuations with a golden's.
    ///
    /// # Errors
    /// Device errors, and goldens of another vocabulary.
    ///
    /// # Panics
    /// If the engine was not loaded with [`crate::EngineOptions::score`].
    pub fn verify(&mut self, golden: &Golden) -> Result<Verification, EngineError> {
        let mut prompts = Vec::new();
        for prompt in &golden.prompts {
            let vocab = self.config.vocab_size as usize;
            if prompt.logits.is_empty()
                || !prompt.logits.len().is_multiple_of(vocab)
                || prompt.logits.len() / vocab > prompt.ids.len()
            {
                let found = prompt.logits.len();
                return Err(EngineError::Request(format!(
                    "golden {}: {found} logits for {} tokens are no rows of the model's vocabulary, {vocab}",
                    prompt.name,
                    prompt.ids.len()
                )));
            }
            let logits = self.score(&prompt.ids)?;
            let last = &logits[logits.len() - prompt.logits.len()..];
            let difference = compare(last, &prompt.logits);
            let (low, high) =
                prompt.logits.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            let range = f64::from(high) - f64::from(low);

            let greedy = match prompt.greedy.len() {
                0 => Vec::new(),
                count => {
                    let request = Request {
                        prompt: &prompt.ids,
                        max_tokens: count as u32,
                        sampling: &Sampling::default(),
                        stop_tokens: &[],
                    };
                    self.generate(&request, &mut |_| ControlFlow::Continue(()))?.tokens
                }
            };
            let greedy_equal = greedy.iter().zip(&prompt.greedy).take_while(|(a, b)| a == b).count();
            prompts.push(PromptResult {
                name: prompt.name.clone(),
                tokens: prompt.ids.len(),
                max_abs: difference.max_abs,
                rms: difference.rms,
                range,
                greedy_equal,
                greedy_expected: prompt.greedy.len(),
                passed: difference.max_abs <= TOLERANCE * range && greedy_equal == prompt.greedy.len(),
            });
        }
        Ok(Verification { tolerance: TOLERANCE, passed: prompts.iter().all(|p| p.passed), prompts })
    }
}

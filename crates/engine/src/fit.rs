//! Whether a model fits a device, told by its plan before anything is allocated; and what would fit instead.

use crate::engine::build;
use crate::open::Source;
use crate::{EngineError, EngineOptions, KvType, OpenModel};
use resident_kernels::rope_kv::KV_BLOCK;
use resident_models::{Model, ModelError, Quantisation};
use resident_runtime::{Choice, format_bytes};
use std::fmt;

/// What a model needs of a device's memory, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Positions that the KV cache has room for.
    pub context: u32,
    /// Its element type.
    pub kv_type: KvType,
    /// The weights' format on the device.
    pub weights_format: String,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of the KV cache.
    pub kv_cache_bytes: u64,
    /// Bytes of everything else: activations, tables, the step's state, what is measured while loading, and what allocating
    /// in blocks leaves empty.
    pub work_bytes: u64,
    /// Bytes that the device has for it.
    pub available_bytes: u64,
}

impl Fit {
    fn of(built: &Model<'_>, choice: &Choice, options: &EngineOptions) -> Self {
        let available = choice.target.memory_bytes();
        let available_bytes = options.memory_bytes.map_or(available, |most| most.min(available));
        let total = choice.target.session_bytes(&built.program, available_bytes);
        let (weight_bytes, kv_cache_bytes) = (built.weight_bytes(), built.kv_cache_bytes);
        Self {
            context: options.context,
            kv_type: options.kv_type,
            weights_format: built.weights_format(),
            weight_bytes,
            kv_cache_bytes,
            work_bytes: total.saturating_sub(weight_bytes).saturating_sub(kv_cache_bytes),
            available_bytes,
        }
    }

    /// All that it needs.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.kv_cache_bytes).saturating_add(self.work_bytes)
    }

    /// Whether there is as much.
    pub fn fits(&self) -> bool {
        self.total_bytes() <= self.available_bytes
    }
}

/// The table: what needs how much, and what there is.
impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions = if self.context == 1 { "position" } else { "positions" };
        let rows = [
            (format!("weights ({})", self.weights_format), self.weight_bytes),
            (
                format!("KV cache ({}, {} {positions})", self.kv_type.name(), self.context),
                self.kv_cache_bytes,
            ),
            ("work space".to_owned(), self.work_bytes),
            ("in all".to_owned(), self.total_bytes()),
            ("available".to_owned(), self.available_bytes),
        ];
        let width = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        let lines = rows.map(|(what, bytes)| format!("  {what:width$}  {:>10}", format_bytes(bytes)));
        f.write_str(&lines.join("\n"))
    }
}

/// A change that makes a model fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// What to ask for: `--weights q4`.
    pub change: String,
    /// The longest context that then fits.
    pub context: u32,
    /// What it needs in all, with that context or the one asked for, if that is shorter.
    pub total_bytes: u64,
}

/// In a column of the formatter's width.
impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, total) = (f.width().unwrap_or(0), format_bytes(self.total_bytes));
        write!(f, "{:width$}  {total:>10}, context up to {}", self.change, self.context)
    }
}

/// A model that does not fit, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The model.
    pub name: String,
    /// What it needs.
    pub fit: Fit,
    /// What would fit, the smallest change first.
    pub alternatives: Vec<Alternative>,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} does not fit the device's memory; nothing was allocated:", self.name)?;
        writeln!(f, "{}", self.fit)?;
        if self.alternatives.is_empty() {
            return f.write_str("nothing that context, --kv-cache or --weights could change makes it fit; use a smaller model");
        }
        f.write_str("what would fit:")?;
        let width = self.alternatives.iter().map(|other| other.change.chars().count()).max().unwrap_or(0);
        self.alternatives.iter().try_for_each(|other| write!(f, "\n  {other:width$}"))
    }
}

/// Refuses a built model that does not fit.
pub(crate) fn check(
    model: &OpenModel,
    choice: &Choice,
    options: &EngineOptions,
    built: &Model<'_>,
) -> Result<(), EngineError> {
    let fit = Fit::of(built, choice, options);
    if fit.fits() {
        return Ok(());
    }
    let alternatives = Planner { model, choice, options }.alternatives(&fit)?;
    Err(EngineError::TooLarge(Box::new(TooLarge { name: model.name().to_owned(), fit, alternatives })))
}

/// A model as it would be on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its architecture.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// What it needs, and what there is.
    pub fit: Fit,
    /// The longest context that fits, if any does.
    pub longest_context: Option<u32>,
    /// Where it does not fit: what would, the smallest change first.
    pub alternatives: Vec<Alternative>,
}

impl OpenModel {
    /// Plans the model for a device. Nothing is allocated.
    ///
    /// # Errors
    /// Whatever of the model cannot be run.
    pub fn plan(&self, choice: &Choice, options: &EngineOptions) -> Result<Planned, EngineError> {
        let planner = Planner { model: self, choice, options };
        let built = build(self, self.weights(), choice, options)?;
        let fit = Fit::of(&built, choice, options);
        let alternatives = if fit.fits() { Vec::new() } else { planner.alternatives(&fit)? };
        Ok(Planned {
            architecture: built.config.architecture.clone(),
            parameters: built.parameters,
            fit,
            longest_context: planner.longest_context(options.kv_type, self.weights())?,
            alternatives,
        })
    }
}

/// Plans a model in several ways for one device.
struct Planner<'a> {
    model: &'a OpenModel,
    choice: &'a Choice,
    options: &'a EngineOptions,
}

impl Planner<'_> {
    fn fit(&self, context: u32, kv_type: KvType, weights: Option<Quantisation>) -> Result<Fit, EngineError> {
        let options = EngineOptions { context, kv_type, ..self.options.clone() };
        Ok(Fit::of(&build(self.model, weights, self.choice, &options)?, self.choice, &options))
    }

    /// The longest context that fits, of those that fill the cache's blocks, or the model's own.
    fn longest_context(
        &self,
        kv_type: KvType,
        weights: Option<Quantisation>,
    ) -> Result<Option<u32>, EngineError> {
        let longest = self.model.max_context()?;
        let fits = |context: u32| match self.fit(context, kv_type, weights) {
            Ok(fit) => Ok(fit.fits()),
            // A context beyond what the kernels reach.
            Err(EngineError::Model(ModelError::Shape(_))) => Ok(false),
            Err(error) => Err(error),
        };
        if fits(longest)? {
            return Ok(Some(longest));
        }
        if !fits(KV_BLOCK.min(longest))? {
            return Ok(None);
        }
        let (mut fitting, mut failing) = (1, longest.div_ceil(KV_BLOCK));
        while failing - fitting > 1 {
            let blocks = fitting + (failing - fitting) / 2;
            if fits(blocks * KV_BLOCK)? { fitting = blocks } else { failing = blocks }
        }
        Ok(Some(fitting * KV_BLOCK))
    }

    fn alternatives(&self, refused: &Fit) -> Result<Vec<Alternative>, EngineError> {
        let now = self.model.weights();
        let mut changes = vec![("a shorter context".to_owned(), refused.kv_type, now)];
        if refused.kv_type == KvType::F32 {
            changes.push(("--kv-cache f16".to_owned(), KvType::F16, now));
        }
        for (name, weights) in [("q8", Quantisation::Q8_0), ("q4", Quantisation::Q4_0)] {
            let change = match self.model.source() {
                Source::Checkpoint(_) => format!("--weights {name}"),
                Source::Synthetic(spec) => format!("-m {}", spec.with_types(weights)),
            };
            changes.push((change, refused.kv_type, Some(weights)));
        }
        let mut found = Vec::new();
        for (change, kv_type, weights) in changes {
            let changes_weights = weights != now;
            if changes_weights && self.fit(1, kv_type, weights)?.weight_bytes >= refused.weight_bytes {
                continue;
            }
            let Some(context) = self.longest_context(kv_type, weights)? else { continue };
            let total_bytes = self.fit(context.min(refused.context), kv_type, weights)?.total_bytes();
            found.push(Alternative { change, context, total_bytes });
        }
        Ok(found)
    }
}

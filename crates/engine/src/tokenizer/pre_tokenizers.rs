//! The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`: regular expressions that cut a text
//! before merging.
//!
//! A GGUF file holds no expression, only the name; what a name means is set by the families' own
//! tokenizer.json files and, for `default`, by llama.cpp.

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::error::{Origin, TokenizerError};

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_3_5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The letters that have an upper and a lower case.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK_PUNCTUATION: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
const DEEPSEEK_CHINESE: &str = "[一-龥ࠀ-一가-퟿]+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// What one name stands for.
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    /// Each cuts what the ones before it left, into its matches and what lies between.
    expressions: &'static [&'static str],
    /// The family's normalizer composes characters (Unicode NFC).
    composes: bool,
    pub(super) ignore_merges: bool,
    /// What a file without `tokenizer.ggml.add_bos_token` means.
    pub(super) add_bos: bool,
}

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], expressions: &[], composes: false, ignore_merges: false, add_bos: false };

const KNOWN: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        expressions: &[LLAMA_3],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["smaug-bpe", "dbrx", "chatglm-bpe", "glm4"], expressions: &[LLAMA_3], ..PLAIN },
    PreTokenizer { names: &["qwen2", "stablelm2"], expressions: &[QWEN_2], composes: true, ..PLAIN },
    PreTokenizer { names: &["qwen35"], expressions: &[QWEN_3_5], composes: true, ..PLAIN },
    PreTokenizer { names: &["deepseek-r1-qwen", "megrez", "hunyuan"], expressions: &[QWEN_2], ..PLAIN },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "mellum",
            "jais",
            "trillion",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "roberta-bpe",
        ],
        expressions: &[GPT_2],
        ..PLAIN
    },
    PreTokenizer { names: &["mpt", "olmo"], expressions: &[GPT_2], composes: true, ..PLAIN },
    PreTokenizer { names: &["command-r"], expressions: &[r"\p{N}", GPT_2], composes: true, ..PLAIN },
    PreTokenizer {
        names: &["falcon"],
        expressions: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, "[0-9][0-9][0-9]"],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        expressions: &[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            DEEPSEEK_PUNCTUATION,
            r"\s+$",
            DEEPSEEK_CHINESE,
            r"\p{N}",
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        expressions: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CHINESE, r"\p{N}"],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3"],
        expressions: &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_3],
        ..PLAIN
    },
    PreTokenizer { names: &["bloom", "poro-chat", "gpt3-finnish"], expressions: &[BLOOM], ..PLAIN },
    PreTokenizer { names: &["viking"], expressions: &[BLOOM, r"\p{N}"], ..PLAIN },
    PreTokenizer { names: &["bailingmoe"], expressions: &[BAILING], ..PLAIN },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "minerva-7b", "codeshell", "exaone"],
        expressions: &[r"\p{N}", GPT_2],
        ..PLAIN
    },
    PreTokenizer { names: &["tekken"], expressions: &[TEKKEN], ignore_merges: true, add_bos: true, ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4"], expressions: &[GPT_4O], ..PLAIN },
    PreTokenizer { names: &["seed-coder"], expressions: &[SEED_CODER], ..PLAIN },
    PreTokenizer {
        names: &["default"],
        expressions: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"],
        ..PLAIN
    },
];

impl PreTokenizer {
    /// The expression of byte-level BPE's own.
    pub(super) const GPT_2: &'static str = GPT_2;

    /// The name of what has these expressions, and composes and merges so; the first of several.
    pub(super) fn name_of(expressions: &[&str], composes: bool, ignore_merges: bool) -> Option<&'static str> {
        let same = |pre: &&PreTokenizer| {
            pre.expressions == expressions && pre.composes == composes && pre.ignore_merges == ignore_merges
        };
        KNOWN.iter().find(same)?.names.first().copied()
    }

    /// Looks up the name that a file gives.
    pub(super) fn named(origin: &Origin, name: Option<&str>) -> Result<&'static Self, TokenizerError> {
        let known = || KNOWN.iter().flat_map(|pre| pre.names).copied().collect::<Vec<_>>().join(", ");
        let key = "tokenizer.ggml.pre";
        let Some(name) = name else {
            return Err(origin.malformed(key, "nothing", format!("one of {}", known())));
        };
        let found = KNOWN.iter().find(|pre| pre.names.contains(&name));
        found.ok_or_else(|| origin.unsupported(key, format!("{name:?}"), known()))
    }

    pub(super) fn normalizer(&self) -> Option<NormalizerWrapper> {
        self.composes.then(|| NFC.into())
    }

    /// The expressions in their order, then the step from text to byte-level characters.
    pub(super) fn splits(&self) -> PreTokenizerWrapper {
        let split = |&expression: &&str| {
            let pattern = SplitPattern::Regex(expression.into());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .expect("the expressions above are valid")
        };
        let mut steps: Vec<PreTokenizerWrapper> =
            self.expressions.iter().map(|expression| split(expression).into()).collect();
        steps.push(ByteLevel::new(false, false, false).into());
        Sequence::new(steps).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for pre in KNOWN {
            pre.splits();
        }
    }

    #[test]
    fn no_name_twice() {
        let mut names: Vec<_> = KNOWN.iter().flat_map(|pre| pre.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = PreTokenizer::named(&Origin::gguf(), Some("chameleon")).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("tokenizer.ggml.pre") && text.contains("\"chameleon\""), "{text}");
        assert!(text.contains("qwen2"), "{text}");
    }
}

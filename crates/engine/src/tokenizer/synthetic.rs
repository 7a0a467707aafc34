//! The vocabulary of models of random weights: byte-level, so that it takes every text; what such a model says is numbers.

use resident_models::checkpoint::gguf::GgufWriter;

use super::gguf::GgufVocabulary;
use super::sentencepiece::PieceKind;
use super::vocabulary::byte_level_alphabet;

impl GgufVocabulary {
    /// The token that ends a text of a synthetic model.
    pub const SYNTHETIC_END: u32 = 257;

    /// Ids 0 to 255 are the bytes in GPT-2's order, 256 is ` t`, the one merge that a reader may not do without, 257 ends a
    /// text, and every other id up to `rows` spells its own number.
    pub fn synthetic(rows: u32) -> Self {
        let end = Self::SYNTHETIC_END;
        let mut tokens: Vec<String> = byte_level_alphabet().map(String::from).collect();
        tokens.extend(["Ġt", "<|endoftext|>"].map(str::to_owned));
        tokens.extend((end + 1..rows).map(|id| format!("Ġ{id}")));
        let kind = |id: u32| if id == end { PieceKind::Control } else { PieceKind::Normal };
        Self {
            model: "gpt2".to_owned(),
            pre: Some("gpt-2".to_owned()),
            token_types: (0..tokens.len() as u32).map(|id| kind(id) as i32).collect(),
            tokens,
            merges: vec!["Ġ t".to_owned()],
            bos: Some(end),
            eos: Some(end),
            add_bos: Some(false),
            ..Self::default()
        }
    }

    /// Writes the keys of [`synthetic`](Self::synthetic).
    pub(crate) fn write_synthetic(rows: u32, file: &mut GgufWriter) {
        let made = Self::synthetic(rows);
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        file.set(&key("model"), made.model.as_str());
        for (name, value) in [("bos_token_id", made.bos), ("eos_token_id", made.eos)] {
            value.into_iter().for_each(|value| file.set(&key(name), value));
        }
        made.pre.into_iter().for_each(|pre| file.set(&key("pre"), pre.as_str()));
        made.add_bos.into_iter().for_each(|add_bos| file.set(&key("add_bos_token"), add_bos));
        file.set(&key("tokens"), &made.tokens[..]);
        file.set(&key("token_type"), &made.token_types[..]);
        file.set(&key("merges"), &made.merges[..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    #[test]
    fn every_text_comes_back_and_other_tokens_say_their_number() {
        let tokenizer = Tokenizer::from_gguf(GgufVocabulary::synthetic(300)).unwrap();
        let text = "to the café\t東京 🙂\n\0";
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(&ids, false), text);
        assert!(ids.contains(&256) && ids.iter().all(|id| *id <= 256), "{ids:?}");
        assert_eq!(tokenizer.decode(&[299, GgufVocabulary::SYNTHETIC_END, 258], true), " 299 258");
        assert_eq!((tokenizer.vocab_size(), tokenizer.eos_id()), (300, Some(GgufVocabulary::SYNTHETIC_END)));
    }
}

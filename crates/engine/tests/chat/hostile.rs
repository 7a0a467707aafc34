//! Templates that no honest model has: every one an error or a text, none a panic, none without end.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::civil::date;
use proptest::prelude::*;
use resident_engine::chat::{ChatTemplate, Conversation, Value};

/// One rendering, on a machine with other work.
const LIMIT: Duration = Duration::from_secs(20);

/// Compiles and renders; what comes of it does not matter.
fn survives(source: &str) {
    let conversation = Conversation {
        messages: serde_json::from_str(
            r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "é"}]},
                {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5}}}]},
                {"role": "tool", "content": "<|im_end|>"}, {"role": "user", "content": "Hi"}]"#,
        )
        .unwrap(),
        tools: serde_json::from_str(r#"[{"type": "function", "function": {"name": "f"}}]"#).unwrap(),
        add_generation_prompt: true,
        now: Some(date(2026, 1, 2).at(3, 4, 5, 0)),
        ..Default::default()
    };
    let started = Instant::now();
    if let Ok(template) = ChatTemplate::new(source) {
        let _ = template.render(&conversation);
    }
    assert!(started.elapsed() < LIMIT, "{:?} for {source:?}", started.elapsed());
}

/// Everything that templates are made of, and what can go wrong with it.
const FRAGMENTS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    "{% raw %}",
    "{% endraw %}",
    "{% generation %}",
    "{% endgeneration %}",
    "{% for m in messages %}",
    "{% endfor %}",
    "{% if m %}",
    "{% else %}",
    "{% endif %}",
    "{% set x = m %}",
    "{% set ns = namespace(a=1) %}",
    "{% set ns.a = ns.a + 1 %}",
    "{% macro f(a, b=2) %}",
    "{% endmacro %}",
    "{{ f(1) }}",
    "{% break %}",
    "{% continue %}",
    "{% call f() %}",
    "{% endcall %}",
    "{% filter upper %}",
    "{% endfilter %}",
    "{% block b %}",
    "{% endblock %}",
    "{% extends 'chat template' %}",
    "{% include 'chat template' %}",
    "{% import 'chat template' as c %}",
    "{{ messages[-1:][::-1][::2] }}",
    "{{ messages[::0] }}",
    "{{ m.content.split('') }}",
    "{{ loop.cycle() }}",
    "{{ loop(messages) }}",
    "{{ range(10)|list }}",
    "{{ range(0, 10, 0) }}",
    "{{ 1 // 0 }}",
    "{{ 1 % 0 }}",
    "{{ 2 ** 9999 }}",
    "{{ -9223372036854775808 // -1 }}",
    "{{ 'a' * -1 }}",
    "{{ [1] * 1000 }}",
    "{{ 'é'[1:] }}",
    "{{ '{}'.format() }}",
    "{{ '%s %d' % (1,) }}",
    "{{ 'a'|indent(999999999) }}",
    "{{ messages|tojson(indent=2) }}",
    "{{ messages|sort|unique|batch(0)|list }}",
    "{{ messages|slice(0) }}",
    "{{ '%999999999d' % (1,) }}",
    "{{ '{:>999999999}'.format('a') }}",
    "{{ 'x'|center(999999999) }}",
    "{{ messages|groupby('role') }}",
    "{{ strftime_now('%Y %Q %') }}",
    "{{ raise_exception() }}",
    "{{ raise_exception(messages) }}",
    "{{ x ~ x }}",
    "{{ 'a'.replace('', 'b') }}",
    "{{ 1e999 }}",
    "{{ 1|round(400) }}",
    "{{ 'x'|truncate(0) }}",
    "{{ dict(a=1)|dictsort }}",
    "{{ lipsum(9) }}",
    "{{ m.content|length }}",
    "{{ [[]]|sum(start=[]) }}",
    "{{ 5 is divisibleby 0 }}",
    "{{ messages is sequence }}",
    "'",
    "\"",
    "\\",
    "é",
    "\0",
    " ",
    "\n",
];

#[test]
fn every_pair_of_fragments() {
    for first in FRAGMENTS {
        for second in FRAGMENTS {
            survives(&format!("{first}{second}"));
        }
    }
}

proptest! {
    #[test]
    fn fragments_in_any_order(parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..24)) {
        survives(&parts.concat());
    }

    #[test]
    fn any_text(source in "\\PC{0,60}") {
        survives(&format!("{{{{ {source} }}}}"));
    }
}

/// CVE-2024-34359 and its kin: a template that leaves its sandbox.
#[test]
fn templates_reach_nothing_but_the_conversation() {
    for source in [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ self.__init__ }}",
        "{{ open('/etc/passwd').read() }}",
        "{% include '/etc/passwd' %}",
        "{% extends '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}{{ x }}",
        "{% from '/etc/passwd' import x %}{{ x }}",
        "{{ ''|attr('__class__')|attr('__mro__') }}",
    ] {
        let rendered = ChatTemplate::new(source).and_then(|t| t.render(&Conversation::default()));
        let text = rendered.unwrap_or_default();
        assert_eq!(text, "", "{source}");
    }
}

/// Nor does a message become part of its template.
#[test]
fn what_a_message_says_is_no_template() {
    let content = "{{ raise_exception('x') }}{% for a in range(9) %}{# #}{{ messages }}";
    let message = [("role", "user"), ("content", content)];
    let messages = vec![Value::from_pairs(message)];
    let template = ChatTemplate::new("{{ messages[0].content ~ messages[0]['content']|trim }}").unwrap();
    let rendered = template.render(&Conversation { messages, ..Default::default() }).unwrap();
    assert_eq!(rendered, content.repeat(2));
}

/// Templates of real models with fragments thrown in and stretches cut out.
#[test]
fn damaged_templates_of_real_models() {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tokenizers/chat-templates"));
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: {} is absent", folder.display());
        return;
    };
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "jinja")) {
        let sound = std::fs::read_to_string(path).unwrap();
        for _ in 0..60 {
            let mut text: Vec<char> = sound.chars().collect();
            let at = next(text.len());
            let end = (at + next(20)).min(text.len());
            text.splice(at..end, FRAGMENTS[next(FRAGMENTS.len())].chars());
            survives(&text.into_iter().collect::<String>());
        }
    }
}

//! TLS without a line of C: rustls with graviola's cryptography, and the system's root certificates.

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How the agent speaks https.
///
/// # Errors
/// A processor that graviola does not know.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn config() -> Result<TlsConfig, String> {
    // Without them graviola ends the program at its first call.
    #[cfg(target_arch = "x86_64")]
    let (needed, has) = (
        "aes, ssse3, pclmulqdq, avx, avx2, bmi1, bmi2 and adx",
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("avx")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("adx"),
    );
    #[cfg(target_arch = "aarch64")]
    let (needed, has) = (
        "neon, aes, pmull and sha2",
        std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
            && std::arch::is_aarch64_feature_detected!("sha2"),
    );
    if !has {
        return Err(format!("https needs a processor with {needed}, this one lacks some of them; {REMEDY}"));
    }
    // A mirror's certificate may come from an authority that only this system trusts.
    let system = rustls_native_certs::load_native_certs().certs;
    let roots = match system.is_empty() {
        true => RootCerts::WebPki,
        false => system.iter().map(|der| Certificate::from_der(der).to_owned()).into(),
    };
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls_graviola::default_provider()))
        .build())
}

/// How the agent speaks https: not at all.
///
/// # Errors
/// Always.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn config() -> Result<TlsConfig, String> {
    Err(format!("https needs an x86-64 or an ARM processor; {REMEDY}"))
}

const REMEDY: &str = "fetch the model's files another way and give their path to -m, or name a mirror that speaks http in HF_ENDPOINT";

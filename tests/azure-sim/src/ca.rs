//! The simulator's own certificate authority, and a server certificate for every host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The authority could not make a certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("making a certificate failed: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("preparing TLS failed: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority that lives as long as its simulator.
pub(crate) struct CertificateAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// One key for all hosts: only the certificates differ.
    server_key: KeyPair,
    servers: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl CertificateAuthority {
    pub(crate) fn new() -> Result<Self, CaError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("azure-sim certificate authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit_validity(&mut params);
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            server_key: KeyPair::generate()?,
            servers: Mutex::default(),
        })
    }

    /// The certificate that clients have to trust.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// TLS for one host; the certificate is made at the first call.
    pub(crate) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, CaError> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = servers.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make_server(host)?);
        servers.insert(host.into(), Arc::clone(&config));
        Ok(config)
    }

    fn make_server(&self, host: &str) -> Result<ServerConfig, CaError> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name = named(host);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        limit_validity(&mut params);
        let certificate = params.signed_by(&self.server_key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(self.server_key.serialize_der());

        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Some clients refuse dates as far away as the defaults.
fn limit_validity(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

//! The certificates and keys of one control plane. They die with its folder.

use std::{fs, net::IpAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};

use crate::{Error, layout::Layout};

/// Names under which the API server is reached. 10.0.0.1 is the first address
/// of the service range, hence that of the Service `default/kubernetes`.
const API_SERVER_NAMES: [&str; 5] =
    ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes.default", "kubernetes.default.svc"];

/// A certificate and its private key, as PEM.
pub(crate) struct Identity {
    pub certificate: String,
    pub key: String,
}

/// The authority that signs all certificates of one control plane.
pub(crate) struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority of its own (ECDSA P-256, as all certificates here).
    pub fn new() -> Result<Self, Error> {
        let name = "control-plane-ca";
        let failed = |source| Error::Certificate { name: name.into(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(name, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The API server's certificate, for where it listens too.
    pub fn api_server(&self, address: IpAddr) -> Result<Identity, Error> {
        let names = API_SERVER_NAMES.map(ToOwned::to_owned);
        self.server("kube-apiserver", &[names.as_slice(), &[address.to_string()]].concat())
    }

    /// A server's certificate for names and addresses.
    pub fn server(&self, name: &str, addresses: &[String]) -> Result<Identity, Error> {
        let mut params = params(name, None, addresses)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, &params)
    }

    /// A client's certificate: the API server reads the user from the common
    /// name and the group from the organization
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, Error> {
        let mut params = params(user, group, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(user, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Result<Identity, Error> {
        let failed = |source| Error::Certificate { name: name.into(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(
    name: &str,
    group: Option<&str>,
    addresses: &[String],
) -> Result<CertificateParams, Error> {
    let failed = |source| Error::Certificate { name: name.into(), source };
    let mut params = CertificateParams::new(addresses).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    Ok(params)
}

/// Writes what the programs read as files: the authority's certificate, the API
/// server's identity and the service accounts' key pair.
pub(crate) fn write(layout: &Layout, authority: &Authority, address: IpAddr) -> Result<(), Error> {
    let api_server = authority.api_server(address)?;
    let accounts = service_account_key()?;
    write_file(&layout.pki("ca.crt"), &authority.certificate)?;
    write_identity(&layout.pki("apiserver.crt"), &layout.pki("apiserver.key"), &api_server)?;
    write_file(&layout.pki("service-account.key"), &accounts.serialize_pem())?;
    write_file(&layout.pki("service-account.pub"), &accounts.public_key_pem())
}

/// RSA, so that tokens are signed with RS256: the only algorithm that Microsoft
/// supports for workload identity federation (Microsoft Learn, "Important
/// considerations and restrictions for federated identity credentials").
fn service_account_key() -> Result<KeyPair, Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(|source| Error::Certificate { name: "the service accounts".into(), source })
}

/// Writes a certificate and its key into two files.
pub(crate) fn write_identity(
    certificate: &Path,
    key: &Path,
    identity: &Identity,
) -> Result<(), Error> {
    write_file(certificate, &identity.certificate)?;
    write_file(key, &identity.key)
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}

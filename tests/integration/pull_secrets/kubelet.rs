//! The check reads pull secrets and image names as the kubelet does. The kubelet's own code is the judge:
//! tests/tools/kubernetes/keyring.

use std::collections::BTreeMap;

use acr_attach_check::docker_config::{DockerConfig, logins};
use acr_attach_check::image::Image;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::programs::{command, said};

const JSON: &str = "kubernetes.io/dockerconfigjson";
const IMAGE: &str = "contoso.azurecr.io/team/app:v1";

/// `tests/integration/pull_secrets/kubelet/table.yaml`.
#[derive(Deserialize)]
struct Table {
    secrets: Vec<Row>,
    keys: Vec<String>,
    images: Vec<String>,
    r#in: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Row {
    is: String,
    secrets: Vec<Data>,
}

#[derive(Clone, Deserialize)]
struct Data {
    r#type: Option<String>,
    key: Option<String>,
    text: Option<String>,
    base64: Option<String>,
}

/// An image as a pod names it, and the Secrets that the pod names.
#[derive(Clone, Debug, Serialize)]
struct Question {
    image: String,
    secrets: Vec<Secret>,
}

/// What comes of it.
#[derive(Debug, PartialEq)]
enum Answer {
    /// No pod can name an image so.
    NoImage,
    /// The kubelet gives up on all Secrets.
    GivesUp { image: String },
    /// It shows these to the registry, in this order.
    Shows { image: String, logins: Vec<(Vec<u8>, Vec<u8>)> },
}

/// What the judge says.
#[derive(Debug, Deserialize)]
struct Verdict {
    image: String,
    #[serde(default)]
    error: String,
    /// The orders that the kubelet may come to.
    #[serde(default)]
    orders: Vec<Vec<(String, String)>>,
}

impl Table {
    fn read() -> Self {
        serde_saphyr::from_str(include_str!("kubelet/table.yaml")).unwrap()
    }

    /// Every row, with what it is.
    fn questions(&self) -> Vec<(String, Question)> {
        let about = |image: &str, secrets| Question { image: image.to_owned(), secrets };
        let rows = self.secrets.iter().map(|row| {
            let secrets = row.secrets.iter().map(Data::secret).collect();
            (row.is.clone(), about(IMAGE, secrets))
        });
        let keys = self.keys.iter().map(|key| {
            let secret = entries([(key.as_str(), "app")]);
            (format!("key {key}"), about(IMAGE, vec![secret]))
        });
        let images = self.images.iter().map(|image| {
            let all = self.r#in.iter().map(|(key, user)| (key.as_str(), user.as_str()));
            (format!("image {image}"), about(image, vec![entries(all)]))
        });
        rows.chain(keys).chain(images).collect()
    }
}

impl Data {
    fn secret(&self) -> Secret {
        let secret_type = self.r#type.as_deref().unwrap_or(JSON);
        let own = if secret_type == JSON { ".dockerconfigjson" } else { ".dockercfg" };
        let data = match (&self.text, &self.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).unwrap(),
            _ => panic!("a row has text or base64"),
        };
        secret(secret_type, self.key.as_deref().unwrap_or(own), data)
    }
}

fn secret(secret_type: &str, key: &str, data: Vec<u8>) -> Secret {
    let data = BTreeMap::from([(key.to_owned(), ByteString(data))]);
    Secret { type_: Some(secret_type.to_owned()), data: Some(data), ..Secret::default() }
}

/// A pull secret with an entry for each key, with that user name.
fn entries<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Secret {
    let entry = |(key, user): (&str, &str)| {
        (key.to_owned(), json!({"username": user, "password": "secret"}))
    };
    let auths: serde_json::Map<_, _> = all.into_iter().map(entry).collect();
    secret(JSON, ".dockerconfigjson", json!({"auths": auths}).to_string().into_bytes())
}

/// What the check makes of it, by what it calls in `check::pull_secrets`.
fn ours(question: &Question) -> Answer {
    let Ok(image) = Image::parse(&question.image) else { return Answer::NoImage };
    let image = image.name();
    let mut configs = Vec::new();
    for config in question.secrets.iter().filter_map(DockerConfig::of_secret) {
        match config {
            Ok(config) => configs.push((String::new(), config)),
            Err(_) => return Answer::GivesUp { image },
        }
    }
    let logins = logins(&configs, &image).into_iter();
    let logins = logins.map(|(_, it)| (it.user.clone(), it.password.reveal().to_vec()));
    Answer::Shows { logins: logins.collect(), image }
}

impl Verdict {
    fn answers(self) -> Vec<Answer> {
        let Self { image, error, orders } = self;
        let bytes = |it: String| STANDARD.decode(it).unwrap();
        match (image.is_empty(), error.is_empty()) {
            (true, _) => vec![Answer::NoImage],
            (false, false) => vec![Answer::GivesUp { image }],
            (false, true) => {
                let shows = |order: Vec<(String, String)>| {
                    let logins = order.into_iter().map(|(a, b)| (bytes(a), bytes(b))).collect();
                    Answer::Shows { image: image.clone(), logins }
                };
                orders.into_iter().map(shows).collect()
            }
        }
    }
}

/// Asks the judge, and fails where the check says something else. The answers of the check.
async fn agree(questions: Vec<(String, Question)>) -> Vec<Answer> {
    let (names, questions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
    let input = serde_json::to_string(&questions).unwrap();
    let verdicts: Vec<Verdict> =
        serde_json::from_str(&said(&mut command("keyring"), &input).await).unwrap();
    assert_eq!(verdicts.len(), questions.len());
    let ours: Vec<_> = questions.iter().map(ours).collect();
    let mut different = Vec::new();
    for (((name, question), ours), verdict) in names.iter().zip(&questions).zip(&ours).zip(verdicts)
    {
        let kubelet = verdict.answers();
        assert!(!kubelet.is_empty(), "{name}: no verdict");
        if !kubelet.contains(ours) {
            let data = question.secrets.iter().filter_map(|it| it.data.as_ref());
            let data = data.flat_map(BTreeMap::values).map(|it| String::from_utf8_lossy(&it.0));
            let data: Vec<_> = data.collect();
            let told = format!("{name}: {data:?}\n  kubelet: {kubelet:?}\n  check: {ours:?}");
            different.push(told);
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    ours
}

#[tokio::test]
async fn the_check_reads_pull_secrets_and_images_as_the_kubelet_does() {
    let answers = agree(Table::read().questions()).await;
    let count = |is: &dyn Fn(&Answer) -> bool| answers.iter().filter(|it| is(it)).count();
    // What the table is to hold.
    assert!(answers.len() >= 60);
    assert!(count(&|it| matches!(it, Answer::NoImage)) > 10);
    assert!(count(&|it| matches!(it, Answer::GivesUp { .. })) > 30);
    assert!(count(&|it| matches!(it, Answer::Shows { logins, .. } if logins.is_empty())) > 30);
    assert!(count(&|it| matches!(it, Answer::Shows { logins, .. } if logins.len() == 1)) > 30);
    assert!(count(&|it| matches!(it, Answer::Shows { logins, .. } if logins.len() > 1)) > 5);
}

/// By the same rule a kubelet decides, by `matchImages`, whether it asks its credential provider for a host.
#[tokio::test]
async fn a_pattern_stands_for_as_many_labels_as_it_has() {
    let patterns = [("*.azurecr.io", "plain"), ("*.*.geo.azurecr.io", "regional")];
    let hosts = [
        ("contoso.azurecr.io", "plain"),
        ("contoso-e7ggejfuhzhgedc8.azurecr.io", "plain"),
        ("contoso.westeurope.geo.azurecr.io", "regional"),
        ("contoso.westeurope.data.azurecr.io", ""),
        ("contoso.azurecr.cn", ""),
    ];
    let question = |(host, _): (&str, &str)| {
        let image = format!("{host}/team/app:v1");
        (host.to_owned(), Question { image, secrets: vec![entries(patterns)] })
    };
    let answers = agree(hosts.map(question).into()).await;
    for ((host, pattern), answer) in hosts.into_iter().zip(answers) {
        let Answer::Shows { logins, .. } = answer else { panic!("{host}: {answer:?}") };
        let users: Vec<_> = logins.iter().map(|it| String::from_utf8_lossy(&it.0)).collect();
        assert_eq!(users.concat(), pattern, "{host}");
    }
}

/// Characters that mean something to one of the readers.
const CHARACTERS: [&str; 40] = [
    "*",
    ".",
    ":",
    "/",
    "%",
    "?",
    "#",
    "@",
    "[",
    "]",
    "\\",
    " ",
    "-",
    "_",
    "~",
    "A",
    "a",
    "1",
    "=",
    "\"",
    "{",
    "}",
    ",",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "ſ",
    "443",
    "/v2/",
    "/v1/",
    "%61",
    "https://",
    "null",
    "\\u00",
    "\\ud83d",
    "\"auths\":",
    "io",
];

/// A text in which one or two of these are put in, taken out or put in the place of others.
fn nearly(text: &str, random: &mut fastrand::Rng) -> String {
    let mut characters: Vec<_> = text.chars().map(String::from).collect();
    for _ in 0..random.usize(1..3) {
        let at = random.usize(..=characters.len());
        let until = (at + random.usize(..2)).min(characters.len());
        let new = random.bool().then(|| random.choice(CHARACTERS).unwrap().to_owned());
        characters.splice(at..until, new);
    }
    characters.concat()
}

#[tokio::test]
async fn it_does_so_with_what_is_nearly_that() {
    // The same each time.
    let mut random = fastrand::Rng::with_seed(16);
    let table = Table::read();
    let mut questions = Vec::new();
    for _ in 0..20 {
        let keys = table.keys.iter().map(|it| nearly(it, &mut random)).collect();
        let images = table.images.iter().map(|it| nearly(it, &mut random)).collect();
        let rows = table.secrets.iter().filter(|it| it.secrets.len() == 1).cloned();
        let secrets = rows.map(|mut row| {
            let text = &mut row.secrets[0].text;
            *text = text.as_deref().map(|it| nearly(it, &mut random));
            row
        });
        let secrets = secrets.collect();
        let changed = Table { secrets, keys, images, r#in: table.r#in.clone() };
        questions.extend(changed.questions());
    }
    agree(questions).await;
}

//! The program: reads the environment, and ends with one sentence when it cannot start.

use std::env::consts::ARCH;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use acr_attach::settings::{Arguments, CheckArguments, Output, Settings};
use acr_attach::{Connections, attachment, telemetry};
use acr_attach_check::Check;
use acr_attach_check::findings::exit_codes;
use acr_attach_core::api;
use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, Subcommand};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps a Kubernetes cluster attached to an Azure Container Registry.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator.
    Run(Box<Arguments>),
    /// Finds out from inside the cluster whether a pod can pull from a registry, step by step.
    #[command(after_help = exit_codes())]
    Check(Box<CheckArguments>),
    /// Prints the custom resource definition (CRD).
    Crd,
    /// Fails while attachments hold what only a running operator can let go, and names them. Run it
    /// before the operator is removed.
    UninstallGuard {
        /// The label selector of the attachments that the operator serves. Empty: all.
        #[arg(long, env = "ACR_ATTACH_ATTACHMENT_SELECTOR", default_value = "")]
        attachment_selector: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(Cli { command: Command::Crd }) => crd().map(|()| ExitCode::SUCCESS),
        Ok(Cli { command: Command::Run(arguments) }) => {
            run(*arguments).await.map(|()| ExitCode::SUCCESS)
        }
        Ok(Cli { command: Command::Check(arguments) }) => check(*arguments).await,
        Ok(Cli { command: Command::UninstallGuard { attachment_selector } }) => {
            uninstall_guard(&attachment_selector).await.map(|()| ExitCode::SUCCESS)
        }
        Err(error) => return usage(&error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("acr-attach: {}", one_sentence(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// The first line of a text; what follows shows excerpts of files and repeats itself.
fn one_sentence(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches([':', ' '])
}

/// Help that was asked for is no failure. A bad value is told in one sentence.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    let asked_for = matches!(error.kind(), DisplayHelp | DisplayVersion);
    if asked_for || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        // Printing fails only when nobody reads, and then there is nobody to tell.
        let _ = error.print();
    } else {
        let text = error.to_string();
        // What follows the first blank line is about usage; names of flags and values stand before it.
        let told = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        eprintln!("acr-attach: {}", told.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if asked_for { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn crd() -> Result<()> {
    print!("{}", api::crd_yaml()?);
    Ok(())
}

async fn uninstall_guard(selector: &str) -> Result<()> {
    let (kubernetes, _) = kubernetes().await?;
    let held = attachment::held(&kubernetes, selector).await;
    match held.map_err(|problem| anyhow!(problem.message))? {
        None => {
            println!("acr-attach: no attachment holds anything; the operator can go");
            Ok(())
        }
        Some(held) => Err(anyhow!(held)),
    }
}

/// Says what it found, and by the exit code where it ended.
async fn check(arguments: CheckArguments) -> Result<ExitCode> {
    // What is no image of the registry is told before anybody is asked anything.
    arguments.target("", ARCH).map_err(|text| anyhow!(text))?;
    let http = http(arguments.ca_file.as_deref())?;
    let (kubernetes, namespace) = kubernetes().await?;
    let target = arguments.target(&namespace, ARCH).map_err(|text| anyhow!(text))?;
    let proxy = proxy(target.registry.as_str())?;
    let kubelet_identity = arguments.kubelet_identity;
    let report = Check { target, kubelet_identity, http, proxy, kubernetes }.run().await;
    println!(
        "{}",
        match arguments.output {
            Output::Text => report.text(),
            Output::Json => report.json()?,
        }
    );
    Ok(ExitCode::from(report.exit_code()))
}

/// The proxy that stands before a host, without the password that it may want.
fn proxy(host: &str) -> Result<Option<String>> {
    let destination = format!("https://{host}/").parse()?;
    let proxy = Matcher::from_system().intercept(&destination);
    Ok(proxy.map(|it| it.uri().to_string().trim_end_matches('/').to_owned()))
}

async fn run(arguments: Arguments) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    // What contradicts itself is told before anybody is asked anything.
    Settings::resolve(&arguments, variable, "").map_err(|text| anyhow!(text))?;
    let http = http(arguments.ca_file.as_deref())?;
    let (kubernetes, namespace) = kubernetes().await?;
    let settings = Settings::resolve(&arguments, variable, &namespace);
    let settings = settings.map_err(|text| anyhow!(text))?;
    let connections = Connections {
        http,
        kubernetes,
        listener: tokio::net::TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("listening on {} (--listen)", arguments.listen))?,
        metrics: Registry::default(),
    };
    telemetry::start(arguments.log_level, arguments.log_format)?;
    let identity = settings.identity.to_string();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %arguments.listen, identity, "started");
    acr_attach::run(settings, connections, told_to_stop()?).await?;
    tracing::info!("stopped");
    Ok(())
}

/// How long connecting may take. The third repetition of a lost packet comes after 7 s on Linux; each request
/// of the check has 10 s.
const CONNECTING: Duration = Duration::from_secs(8);

/// One client for all of Azure. It honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, and
/// follows no redirect: a token goes where it was meant to go.
fn http(ca_file: Option<&Path>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECTING)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(file) = ca_file {
        let reading = || format!("reading certificates from {} (--ca-file)", file.display());
        let pem = std::fs::read(file).with_context(reading)?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).with_context(reading)?;
        if certificates.is_empty() {
            return Err(anyhow!("{} (--ca-file) holds no certificate", file.display()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().context("preparing the HTTP client for Azure")
}

/// The cluster, and the namespace of the service account.
async fn kubernetes() -> Result<(kube::Client, String)> {
    let mut config = match std::env::var("KUBECONFIG") {
        Ok(path) if !path.is_empty() => {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_kubeconfig(&options).await;
            config.with_context(|| format!("reading the kubeconfig {path} (KUBECONFIG)"))?
        }
        _ => kube::Config::infer().await.context("finding the cluster")?,
    };
    // HTTPS_PROXY is for Azure. kube would take it for the API server too, whatever NO_PROXY says.
    if !kubeconfig_names_proxy() {
        config.proxy_url = None;
    }
    // Waits belong into the queue, where they can be seen, not into a call.
    config.default_retry = false;
    // A silent watch ends by itself after 295 s; nothing else bounds its first list.
    config.read_timeout = Some(Duration::from_secs(330));
    let namespace = config.default_namespace.clone();
    Ok((kube::Client::try_from(config).context("connecting to the cluster")?, namespace))
}

fn kubeconfig_names_proxy() -> bool {
    let Ok(kubeconfig) = Kubeconfig::read() else { return false };
    let context =
        kubeconfig.contexts.iter().find(|it| Some(&it.name) == kubeconfig.current_context.as_ref());
    let cluster = context.and_then(|it| it.context.as_ref()).map(|it| &it.cluster);
    kubeconfig
        .clusters
        .iter()
        .filter(|it| Some(&it.name) == cluster)
        .any(|it| it.cluster.as_ref().is_some_and(|it| it.proxy_url.is_some()))
}

fn told_to_stop() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

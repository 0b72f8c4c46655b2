//! The program: reads the environment, and ends with one sentence if it cannot start.

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
    /// Checks from inside the cluster, step by step, whether a pod can pull from a registry.
    #[command(after_help = exit_codes())]
    Check(Box<CheckArguments>),
    /// Prints the custom resource definition (CRD).
    Crd,
    /// Fails while attachments hold what only a running operator can release, and names them. Run it
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

/// Returns the first line of a text. Further lines show excerpts of files and repeat it.
fn one_sentence(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches([':', ' '])
}

/// Prints help, or a usage error in one sentence. Everything but requested help is a failure.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    let asked_for = matches!(error.kind(), DisplayHelp | DisplayVersion);
    if asked_for || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        // Printing fails only if the output is closed, and then there is no place to report it.
        let _ = error.print();
    } else {
        let text = error.to_string();
        // Names of flags and values come before the first blank line; the rest is about usage.
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

/// Prints the report of the check, and returns the exit code of the step at which it ended.
async fn check(arguments: CheckArguments) -> Result<ExitCode> {
    // An image of another registry is rejected before any request is sent.
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

/// Returns the proxy for requests to a host, without its password.
fn proxy(host: &str) -> Result<Option<String>> {
    let destination = format!("https://{host}/").parse()?;
    let proxy = Matcher::from_system().intercept(&destination);
    Ok(proxy.map(|it| it.uri().to_string().trim_end_matches('/').to_owned()))
}

async fn run(arguments: Arguments) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    // Contradictory settings are rejected before any request is sent.
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

/// How long connecting may take. On Linux the third retransmission of a lost packet comes after 7 s;
/// each request of the check has 10 s.
const CONNECTING: Duration = Duration::from_secs(8);

/// Builds the one client for all of Azure. It honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, and
/// follows no redirect, so that a token reaches only its intended host.
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

/// Makes the client for the cluster, and finds the namespace of the service account.
async fn kubernetes() -> Result<(kube::Client, String)> {
    let mut config = match std::env::var("KUBECONFIG") {
        Ok(path) if !path.is_empty() => {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_kubeconfig(&options).await;
            config.with_context(|| format!("reading the kubeconfig {path} (KUBECONFIG)"))?
        }
        _ => kube::Config::infer().await.context("finding the cluster")?,
    };
    // HTTPS_PROXY is for Azure. kube would use it for the API server too, whatever NO_PROXY says.
    if !kubeconfig_names_proxy() {
        config.proxy_url = None;
    }
    // Retries belong in the queue, where they can be seen, not inside a call.
    config.default_retry = false;
    // kube ends a silent watch after 295 s; nothing else bounds the first list of a watch.
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

//! Starts, interrupts and ends a control plane.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use crate::{
    Cluster, Error, Options,
    certificates::{self, Authority},
    flags::{self, API_SERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER},
    janitor::Janitor,
    kubeconfig,
    layout::{Layout, Ports},
    manifests, node,
    program::Program,
    wait::until,
};

/// How often a start is tried when somebody else takes a port in between.
const ATTEMPTS: usize = 4;

/// A running control plane and the duty to end it.
///
/// [`stop`](Self::stop) ends it and waits for that. When the value is dropped
/// instead, or its process ends in whatever way, the programs and the folder
/// are gone a moment later.
#[derive(Debug)]
pub struct ControlPlane {
    options: Options,
    ports: Ports,
    layout: Layout,
    cluster: Cluster,
    admin_kubeconfig: PathBuf,
    etcd_url: String,
    janitor: Janitor,
    etcd: Option<Program>,
    api_server: Option<Program>,
    controller_manager: Option<Program>,
    scheduler: Option<Program>,
}

impl ControlPlane {
    /// Starts a control plane and returns when it is ready: the API server says
    /// so, the given kinds are served, and the controllers have made the
    /// service account `default` in the namespace `default`.
    ///
    /// # Errors
    ///
    /// When a program is missing, ends, or is not ready within three minutes; the
    /// error holds the end of its log. Nothing is left then.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let mut attempt = 1;
        loop {
            let mut plane = Self::prepare(options)?;
            match plane.bring_up().await {
                Ok(()) => return Ok(plane),
                Err(error) => {
                    // What went wrong first says more than what the end adds.
                    let _ = plane.stop().await;
                    if attempt == ATTEMPTS || !error.is_port_taken() {
                        return Err(error);
                    }
                }
            }
            attempt += 1;
        }
    }

    /// The administrator's kubeconfig (group `system:masters`), a file that
    /// holds its certificates itself.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// What somebody needs who only uses this control plane.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Where etcd serves its clients, in plain HTTP, so that a test can write an
    /// object that the API server would refuse.
    #[must_use]
    pub fn etcd_url(&self) -> &str {
        &self.etcd_url
    }

    /// Kills the API server, as a crash would. etcd and the controllers go on.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub async fn stop_api_server(&mut self) -> Result<(), Error> {
        match self.api_server.take() {
            Some(mut program) => program.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the API server again, on the same port and with the same state,
    /// and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it runs already, ends at once, or is not ready within three minutes.
    pub async fn start_api_server(&mut self) -> Result<(), Error> {
        if self.api_server.is_some() {
            return Err(Error::Running);
        }
        self.api_server = Some(self.spawn(API_SERVER)?);
        let client = self.cluster.admin().await?;
        until("the API server is ready", &mut self.running(), || ready(client.clone())).await
    }

    /// Kills the API server and starts it again.
    ///
    /// # Errors
    ///
    /// As [`stop_api_server`](Self::stop_api_server) and
    /// [`start_api_server`](Self::start_api_server).
    pub async fn restart_api_server(&mut self) -> Result<(), Error> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Ends the programs, removes the folder, and waits for both.
    ///
    /// # Errors
    ///
    /// When something is left nevertheless.
    pub async fn stop(mut self) -> Result<(), Error> {
        for program in self.running() {
            program.kill().await?;
        }
        let root = self.layout.root().to_path_buf();
        self.janitor.sweep().await?;
        if root.exists() { Err(Error::LeftBehind(root)) } else { Ok(()) }
    }

    /// Has the janitor send SIGTERM to a process outside the control plane, too.
    pub(crate) fn also_ends(&mut self, process: Option<u32>) -> Result<(), Error> {
        self.janitor.also_ends(process)
    }

    /// Draws the ports and the folder. The janitor comes before the folder, so
    /// that no moment is left in which nobody would remove it.
    fn prepare(options: &Options) -> Result<Self, Error> {
        let layout = Layout::unused();
        let ports = Ports::draw()?;
        let janitor = Janitor::start(layout.root())?;
        layout.create()?;
        Ok(Self {
            options: options.clone(),
            ports,
            cluster: Cluster::at(layout.clone()),
            admin_kubeconfig: layout.admin_kubeconfig(),
            etcd_url: flags::etcd_url(ports),
            layout,
            janitor,
            etcd: None,
            api_server: None,
            controller_manager: None,
            scheduler: None,
        })
    }

    async fn bring_up(&mut self) -> Result<(), Error> {
        let definitions = manifests::parse(&self.options.crds)?;
        // The longest step is the API server's; it waits for etcd by itself.
        self.etcd = Some(self.spawn(ETCD)?);
        self.write_files()?;
        self.start_api_server().await?;
        let client = self.cluster.admin().await?;
        manifests::install(&client, &definitions, &mut self.running()).await?;
        self.controller_manager = Some(self.spawn(CONTROLLER_MANAGER)?);
        if self.options.node.is_some() {
            self.scheduler = Some(self.spawn(SCHEDULER)?);
        }
        let goal = "the controllers make the ServiceAccount default/default";
        until(goal, &mut self.running(), || default_account(client.clone())).await
    }

    fn write_files(&self) -> Result<(), Error> {
        let (layout, node) = (&self.layout, self.options.node.as_ref());
        let server = flags::server_url(node, self.ports);
        let policy = layout.audit_policy();
        fs::write(&policy, flags::AUDIT_POLICY).map_err(Error::file("write", &policy))?;
        let authority = Authority::new()?;
        certificates::write(layout, &authority, node::address(node))?;
        let admin = authority.client("admin", Some("system:masters"))?;
        let controllers = authority.client("system:kube-controller-manager", None)?;
        let certificate = &authority.certificate;
        kubeconfig::write(&layout.admin_kubeconfig(), &server, certificate, &admin)?;
        let path = layout.kubeconfig(CONTROLLER_MANAGER);
        kubeconfig::write(&path, &server, certificate, &controllers)?;
        node.map_or(Ok(()), |node| node::write(layout, &server, &authority, node))
    }

    fn spawn(&self, name: &'static str) -> Result<Program, Error> {
        let arguments = match name {
            ETCD => flags::etcd(&self.layout, self.ports),
            API_SERVER => flags::api_server(&self.layout, self.ports, self.options.node.as_ref()),
            SCHEDULER => flags::scheduler(&self.layout),
            _ => flags::controller_manager(&self.layout),
        };
        let path = self.options.program(name)?;
        Program::spawn((name, &path), arguments, &self.layout, self.janitor.group())
    }

    /// The programs that run, in the order in which they were started.
    fn running(&mut self) -> Vec<&mut Program> {
        let Self { etcd, api_server, controller_manager, scheduler, .. } = self;
        let all = [etcd, api_server, controller_manager, scheduler];
        all.into_iter().flatten().collect()
    }
}

/// Whether the API server says that it is ready, which includes its RBAC defaults.
async fn ready(client: Client) -> Result<(), String> {
    let request = Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}

async fn default_account(client: Client) -> Result<(), String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    accounts.get("default").await.map(drop).map_err(|error| error.to_string())
}

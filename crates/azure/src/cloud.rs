//! The Azure clouds and their hosts.

use acr_attach_core::ids::LoginServer;
use azure_core::cloud::CloudConfiguration;

/// An Azure cloud. Hosts and audiences are those of the Azure cloud provider for Kubernetes
/// (kubernetes-sigs/cloud-provider-azure, pkg/azclient/cloud.go).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Cloud {
    /// Azure's public cloud.
    #[default]
    Public,
    /// Azure Government.
    #[value(name = "usgovernment")]
    UsGovernment,
    /// Azure operated by 21Vianet in China.
    China,
}

impl Cloud {
    /// The URL of Azure Resource Manager, without a slash at the end.
    #[must_use]
    pub fn arm(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// The host of Entra, which issues tokens.
    #[must_use]
    pub fn authority_host(self) -> &'static str {
        match self {
            Self::Public => "login.microsoftonline.com",
            Self::UsGovernment => "login.microsoftonline.us",
            Self::China => "login.chinacloudapi.cn",
        }
    }

    /// The URL of Microsoft Graph, without a slash at the end.
    #[must_use]
    pub fn graph(self) -> &'static str {
        match self {
            Self::Public => "https://graph.microsoft.com",
            Self::UsGovernment => "https://graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// The cloud of a login server; `None` if the host is in none of them.
    #[must_use]
    pub fn of(server: &LoginServer) -> Option<Self> {
        let is_in = |it: &Self| {
            let below = server.as_str().strip_suffix(it.login_server_suffix());
            below.is_some_and(|it| it.ends_with('.'))
        };
        [Self::Public, Self::UsGovernment, Self::China].into_iter().find(is_in)
    }

    /// The domain of login servers, such as `azurecr.io`.
    #[must_use]
    pub fn login_server_suffix(self) -> &'static str {
        match self {
            Self::Public => "azurecr.io",
            Self::UsGovernment => "azurecr.us",
            Self::China => "azurecr.cn",
        }
    }

    pub(super) fn configuration(self) -> CloudConfiguration {
        match self {
            Self::Public => CloudConfiguration::AzurePublic,
            Self::UsGovernment => CloudConfiguration::AzureGovernment,
            Self::China => CloudConfiguration::AzureChina,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("contoso.azurecr.io", Some(Cloud::Public))]
    #[case("contoso.eastus.geo.azurecr.io", Some(Cloud::Public))]
    #[case("contoso.azurecr.us", Some(Cloud::UsGovernment))]
    #[case("contoso.azurecr.cn", Some(Cloud::China))]
    #[case("contosoazurecr.io", None)]
    #[case("contoso.azurecr.io.example.com", None)]
    fn the_domain_of_a_login_server_decides_the_cloud(
        #[case] server: &str,
        #[case] cloud: Option<Cloud>,
    ) {
        assert_eq!(Cloud::of(&server.parse().unwrap()), cloud);
    }
}

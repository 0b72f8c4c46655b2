package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	sigsyaml "sigs.k8s.io/yaml"
)

// The name that Argo CD marks objects with.
const (
	application = "acr-attach"
	labelKey    = "app.kubernetes.io/instance"
)

type cluster struct {
	config  *rest.Config
	kubectl *kube.KubectlCmd
}

func connect() (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig that KUBECONFIG names: %w", err)
	}
	config.QPS, config.Burst = 500, 1000
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	// Where nobody counts commands, as in the application controller.
	kubectl.SetOnKubectlRun(func(string) (kube.CleanupFunc, error) { return func() {}, nil })
	return &cluster{config: config, kubectl: kubectl}, nil
}

// Overrides puts the settings of deploy/argocd into the cluster, and lets Argo CD read them there.
func (c *cluster) overrides(ctx context.Context, scripts string) (map[string]v1alpha1.ResourceOverride, error) {
	text, err := os.ReadFile(filepath.Join(scripts, "argocd-cm.yaml"))
	if err != nil {
		return nil, err
	}
	var configMap corev1.ConfigMap
	if err := sigsyaml.UnmarshalStrict(text, &configMap); err != nil {
		return nil, fmt.Errorf("reading argocd-cm.yaml: %w", err)
	}
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "argocd-"}}
	namespace, err = client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	defer client.CoreV1().Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{})
	configMap.Namespace = namespace.Name
	if _, err := client.CoreV1().ConfigMaps(namespace.Name).Create(ctx, &configMap, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	overrides, err := settings.NewSettingsManager(ctx, client, namespace.Name).GetResourceOverrides()
	if err != nil {
		return nil, fmt.Errorf("Argo CD reads argocd-cm: %w", err)
	}
	return overrides, nil
}

// Manifests reads what stands in Git, marked as a part of an application.
func manifests(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		object, err := parse(document)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		method := v1alpha1.TrackingMethodAnnotation
		if err := argo.NewResourceTracking().SetAppInstance(object, labelKey, application, "", method, ""); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%s holds no object", path)
	}
	return objects, nil
}

func parse(text []byte) (*unstructured.Unstructured, error) {
	json, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(json)
}

func (c *cluster) live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return c.kubectl.GetResource(ctx, c.config, object.GroupVersionKind(), object.GetName(), object.GetNamespace())
}

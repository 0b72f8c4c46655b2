package main

import (
	"fmt"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	source "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"
)

// CheckExamples reads objects of Flux as strictly as its types are: no unknown field, no wrong type.
func checkExamples(path string) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{helm.AddToScheme, kustomize.AddToScheme, source.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	objects, err := manifests(path)
	if err != nil {
		return err
	}
	for _, it := range objects {
		text, err := yaml.Marshal(it.Object)
		if err != nil {
			return err
		}
		if _, _, err := decoder.Decode(text, nil, nil); err != nil {
			return fmt.Errorf("%s: %s %s: %w", path, it.GetKind(), it.GetName(), err)
		}
	}
	fmt.Printf("%s: %d objects of Flux\n", path, len(objects))
	return nil
}

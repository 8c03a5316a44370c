// Reads Dockerfiles and compose files with the code that builds and runs them, so that neither is a file that only a
// container engine would find faults in.
//
//	containers FILE...
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	failed := len(os.Args) == 1
	for _, file := range os.Args[1:] {
		read := dockerfile
		if strings.HasSuffix(file, ".yml") {
			read = compose
		}
		what, err := read(file)
		if err != nil {
			fmt.Printf("%s: %v\n", file, err)
			failed = true
			continue
		}
		fmt.Printf("%s: %s\n", file, what)
	}
	if failed {
		os.Exit(1)
	}
}

func dockerfile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	ast, err := parser.Parse(file)
	if err != nil {
		return "", err
	}
	if len(ast.Warnings) > 0 {
		return "", fmt.Errorf("%s", ast.Warnings[0].Short)
	}
	var faults []string
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		faults = append(faults, rule+": "+message)
	}})
	stages, _, err := instructions.Parse(ast.AST, lint)
	if err != nil {
		return "", err
	}
	if len(faults) > 0 {
		return "", fmt.Errorf("%s", strings.Join(faults, "; "))
	}
	if err := copiesArePossible(filepath.Dir(path), stages); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d stages", len(stages)), nil
}

// copiesArePossible holds each COPY to what there is: a stage before it, or files beside the Dockerfile.
func copiesArePossible(folder string, stages []instructions.Stage) error {
	names := map[string]bool{}
	for _, stage := range stages {
		for _, command := range stage.Commands {
			copy, ok := command.(*instructions.CopyCommand)
			if !ok {
				continue
			}
			if copy.From != "" {
				if !names[copy.From] {
					return fmt.Errorf("COPY --from=%s: there is no such stage before", copy.From)
				}
				continue
			}
			for _, source := range copy.SourcePaths {
				if _, err := os.Stat(filepath.Join(folder, source)); err != nil {
					return fmt.Errorf("COPY %s: %w", source, err)
				}
			}
		}
		names[stage.Name] = true
	}
	return nil
}

func compose(path string) (string, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles([]string{"*"}), cli.WithResolvedPaths(true))
	if err != nil {
		return "", err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return "", err
	}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type != "bind" {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				return "", fmt.Errorf("service %s: %w", name, err)
			}
		}
	}
	return fmt.Sprintf("%d services", len(project.Services)), nil
}

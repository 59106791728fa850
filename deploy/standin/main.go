// Standin takes the place of /lambda-entrypoint.sh of the image
// public.ecr.aws/lambda/provided where that image cannot be had: it runs
// /var/runtime/bootstrap, on Lambda as it is, and elsewhere under the Runtime
// Interface Emulator. Being a program, it shows that the service's image needs
// no shell.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	fmt.Fprintln(os.Stderr, run(os.Args[1:]))
	os.Exit(1)
}

// run returns only if it fails.
func run(handler []string) error {
	if len(handler) != 1 {
		return fmt.Errorf("entrypoint wants one argument, the handler's name, and got %q", handler)
	}
	command := []string{"/var/runtime/bootstrap"}
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		command = append([]string{"/usr/local/bin/aws-lambda-rie"}, command...)
	}
	environ := append(os.Environ(), "_HANDLER="+handler[0])
	err := syscall.Exec(command[0], command, environ) //nolint:gosec // one of two fixed paths
	return fmt.Errorf("run %s: %w", command[0], err)
}

// Function is a Lambda function that does what its event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string
	Text string
}

type answer struct {
	Text     string
	Process  int
	Deadline time.Time
	Name     string
}

func main() {
	if os.Getenv("BROKEN") != "" {
		fmt.Println("cannot start")
		os.Exit(1)
	}
	lambda.Start(func(ctx context.Context, e event) (answer, error) {
		switch e.Do {
		case "fail":
			return answer{}, errors.New(e.Text)
		case "panic":
			panic(e.Text)
		case "exit":
			os.Exit(3)
		case "hang":
			select {}
		case "wait":
			_ = os.WriteFile(fmt.Sprint(e.Text, ".", os.Getpid()), nil, 0o600) // tells that it waits
			for _, err := os.Stat(e.Text); err != nil; _, err = os.Stat(e.Text) {
				time.Sleep(time.Millisecond)
			}
		case "env":
			e.Text = strings.Join(os.Environ(), "\n")
		}
		deadline, _ := ctx.Deadline()
		return answer{Text: e.Text, Process: os.Getpid(), Deadline: deadline, Name: lambdacontext.FunctionName}, nil
	})
}

// Templatecheck tells the author of a mail's template what is wrong with it:
// everything at once, as FILE:LINE:COLUMN. The last two parts of the file's
// path say which mail it is for.
//
//	templatecheck .../customer/order_paid.html
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bbws/order-lambda/notify"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: templatecheck FILE (make template-check FILE=…)")
		os.Exit(2)
	}
	file := os.Args[1]
	if err := check(file); err != nil {
		var template *notify.TemplateError
		if !errors.As(err, &template) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			os.Exit(1)
		}
		for _, p := range template.Problems {
			fmt.Fprintf(os.Stderr, "%s:%d:%d: %s\n", file, p.Line, p.Column, p.Message)
		}
		os.Exit(1)
	}
	fmt.Println(file + " is a template that the service takes")
}

func check(file string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	key := filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
	return notify.CheckTemplate(key, string(src))
}

module github.com/bbws/order-lambda

go 1.26

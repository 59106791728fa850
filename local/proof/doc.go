// Package proof is what proves the service; nothing links it. Its tests share
// one stand-in of everything around the eight functions (world), one way to have
// the functions in this process (house) and one list of promises (account):
//
//   - likeness and limits hold the world to AWS;
//   - isolation, fuzz and queries put hostile, random and failing events to a
//     house, and questions to its logs;
//   - cost counts what the service asks of AWS;
//   - chaos runs a house against faults in virtual time, siege the processes of
//     the local stack; both are judged by the account.
//
// README.md says how each is run, and what it has found.
package proof

// Package agenttest lets tests of the local cluster's parts run with the real
// agent, as root and as an ordinary user.
//
// [Main] builds the agent once into a folder that every user can enter. An
// ordinary user's tests are started again inside a user and a mount namespace,
// as the holder would make them; root's inside a mount namespace. [AsUser] runs
// the whole test binary once more as an ordinary user that it makes if needed.
package agenttest

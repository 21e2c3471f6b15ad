# The installation of Kubeflow 1.2 (kfctl) ended in 2021; one program replaces it.
set -eu
kiwerk up --detach ${KIWERK_UP_FLAGS:-}
kiwerk status

#!/bin/sh
# Usage: lay-out.sh FOLDER
#
# Makes FOLDER a git repository as gitlab-ci-local wants it: the component and, beside it, the project of `pipeline/`
# that uses it. The project stages packages/jammy/*.deb as `jammy-amd64` and packages/noble/*.deb as `noble-amd64`, and
# runs the command as `slipway.mjs`, so the folder `bin` of the built command must be on the PATH of the runner.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/packages/jammy" "$1/packages/noble"
cp -R "$here/../templates" "$here/pipeline/." "$1"
cd "$1"
git init --quiet --initial-branch main
git add --all
git -c user.name=Slipway -c user.email=slipway@example.com -c commit.gpgsign=false commit --quiet --message "a project"
# Never contacted; the names of server and project are read from it.
git remote add origin git@gitlab.example.com:harbour/tug.git
git update-ref refs/remotes/origin/main HEAD
git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main

#!/bin/sh
# slim.sh VENV: takes out of a venv what a container never runs. What is left must still pass `imgctl demo`, all codecs included.
set -eu
venv=$1
cd "$venv"/lib/python3*/site-packages
# Bytecode of everything before installers go: a read-only root could write none, and a start without it takes a second more.
# Beside imgctl itself nobody reads sources there; tracebacks keep file and line.
"$venv"/bin/python -m compileall -q imgctl
find . -name '*.py' -not -path './imgctl/*' -exec "$venv"/bin/python -m compileall -q -b {} +
find . -name '*.py' -not -path './imgctl/*' -delete
find . -depth -type d -name __pycache__ -not -path './imgctl/*' -exec rm -rf {} +
# The image is replaced, not changed.
rm -rf pip pip-* setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth "$venv"/bin/pip*
# Of the AWS services those that imgctl and its credentials speak to.
for service in botocore/data/*/; do
    case $service in
        */s3/ | */s3control/ | */sts/ | */sqs/ | */pricing/ | */sso/ | */sso-oidc/ | */signin/) ;;
        *) rm -rf "$service" ;;
    esac
done
rm -rf boto3/examples numpy/f2py numpy/distutils sqlalchemy/testing
# One library under three names, thrice.
for name in libraw_r.so libraw_r.so.25.0.0; do [ ! -e rawpy/$name ] || ln -sf libraw_r.so.25 rawpy/$name; done
find . -depth -type d -name tests -not -path './imgctl/*' -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[cha]' \) -delete
# Symbols; never of a library that its wheel has patched to find others beside it, which strip breaks.
find . -name '*.so' -not -path '*.libs/*' | while read -r library; do
    readelf -d "$library" | grep -qE 'R(UN)?PATH' || strip --strip-unneeded "$library"
done

#!/bin/sh
# slim.sh VENV: removes files from a venv that a container never uses. `imgctl demo` must still pass, with all codecs.
set -eu
venv=$1
cd "$venv"/lib/python3*/site-packages
# Compile all bytecode before the installers are removed: a read-only root cannot write it, and a start without it takes a second longer.
# Remove the sources except imgctl's own; tracebacks keep file and line.
"$venv"/bin/python -m compileall -q imgctl
find . -name '*.py' -not -path './imgctl/*' -exec "$venv"/bin/python -m compileall -q -b {} +
find . -name '*.py' -not -path './imgctl/*' -delete
find . -depth -type d -name __pycache__ -not -path './imgctl/*' -exec rm -rf {} +
# Remove the installers: the image is replaced, not changed.
rm -rf pip pip-* setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth "$venv"/bin/pip*
# Keep only the AWS services that imgctl and its credentials use.
for service in botocore/data/*/; do
    case $service in
        */s3/ | */s3control/ | */sts/ | */sqs/ | */pricing/ | */sso/ | */sso-oidc/ | */signin/) ;;
        *) rm -rf "$service" ;;
    esac
done
rm -rf boto3/examples numpy/f2py numpy/distutils sqlalchemy/testing
# rawpy contains its library three times, under three names.
for name in libraw_r.so libraw_r.so.25.0.0; do [ ! -e rawpy/$name ] || ln -sf libraw_r.so.25 rawpy/$name; done
find . -depth -type d -name tests -not -path './imgctl/*' -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[cha]' \) -delete
# Strip symbols, but not of libraries that their wheel has patched to find others beside them: strip breaks those.
find . -name '*.so' -not -path '*.libs/*' | while read -r library; do
    readelf -d "$library" | grep -qE 'R(UN)?PATH' || strip --strip-unneeded "$library"
done

#!/bin/sh
# Writes the bills of materials (CycloneDX) of this system and of the environments named, to /sbom.
set -eu
mkdir /sbom
/tools/bin/debsbom generate --sbom-type cdx --cdx-schema-version 1.6 --with-licenses --out /sbom/debian
for environment in "$@"; do
  /tools/bin/cyclonedx-py environment --spec-version 1.6 --output-reproducible \
    --output-file "/sbom/$environment.cdx.json" "/opt/$environment/bin/python"
done

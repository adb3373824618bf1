// Makes Kubernetes' JSON schemas, as PyPI's kubernetes-validate brings them, readable for kubeconform without a
// network: their references are made relative and their web addresses are removed.
//
//   node kubernetes-schemas.mjs FROM TO     FROM holds v1.29.0-local-strict and others, TO gets v1.29.0-standalone-strict
import {mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync} from "node:fs";
import {join} from "node:path";

const [from, to] = process.argv.slice(2);
rmSync(to, {recursive: true, force: true});
for (const version of ["v1.29.0", "v1.37.0"]) {
    const source = join(from, `${version}-local-strict`);
    const target = join(to, `${version}-standalone-strict`);
    mkdirSync(target, {recursive: true});
    for (const name of readdirSync(source)) {
        const schema = JSON.parse(readFileSync(join(source, name), "utf8").replaceAll('"/api/_definitions.json#', '"_definitions.json#'));
        delete schema.$id;
        writeFileSync(join(target, name), JSON.stringify(schema));
    }
}

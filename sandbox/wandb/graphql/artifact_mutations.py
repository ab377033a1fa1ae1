"""W&B's mutations on artifacts."""

from collections.abc import Callable, Mapping, Sequence

from sandbox.wandb import rules
from sandbox.wandb.artifacts import Artifact, Collection
from sandbox.wandb.files import MANIFESTS, artifact_file_path
from sandbox.wandb.graphql.artifacts import manifest
from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import Input
from sandbox.wandb.graphql.files import upload
from sandbox.wandb.graphql.paging import page
from sandbox.wandb.graphql.run_mutations import SUCCESS, Payload


def _create_artifact(context: Context, *, given: Input) -> Payload:
    """Begin a version. If the collection has a version with this content, that one is the answer and gets the aliases.

    Metadata, description and maker of the known version stay (wandb PR 6153, wandb#5359). Whether `latest` moves back
    to an older version is UNVERIFIED; here it does when the client asks for it.
    """
    store = context.store
    entity = context.writable(given.entity_name, "createArtifact")
    run = (
        context.writable_run(given.entity_name, given.project_name, given.run_name, "createArtifact")
        if given.run_name is not None
        else None
    )
    project = store.add_project(entity.name, given.project_name, context.user)
    sequence = store.add_collection(project, _collection_name(given), given.artifact_type_name)
    aliases = _aliases(given)
    latest_only = store.options.deduplication == "latest"
    deduplicated = given.enable_digest_deduplication
    artifact = sequence.with_digest(given.digest, latest_only=latest_only) if deduplicated else None
    if artifact:
        sequence.point(aliases, artifact)
    else:
        artifact = store.add_artifact(sequence, given.digest, run, context.user)
        artifact.description = given.description
        artifact.metadata = rules.parsed_metadata(given.metadata)
        artifact.tags = _tags(given.tags)
        artifact.history_step = given.history_step
        artifact.ttl_seconds = given.ttl_duration_seconds
        artifact.wanted_aliases = aliases
        if run:
            run.logged.append(artifact)
    if given.client_id:
        store.artifacts_by_client_id[given.client_id] = artifact
    return {"artifact": artifact}


def _collection_name(given: Input) -> str:
    names: list[str] = given.artifact_collection_names or [given.artifact_collection_name or ""]
    if len(names) != 1:
        raise rules.not_modelled("a version of several collections at once")
    return names[0]


def _create_artifact_manifest(context: Context, *, given: Input) -> Payload:
    """Give the address of the manifest. The client asks twice: first before it knows the contents."""
    if given.type not in (None, "FULL"):
        raise rules.not_modelled(f"{given.type} manifests")
    artifact = _pending(context, given.artifact_id, "createArtifactManifest")
    artifact.manifest_path = f"{MANIFESTS}{artifact.id}/{given.name}"
    return {"artifactManifest": manifest(artifact, upload(given.name, artifact.manifest_path, context))}


def _create_artifact_files(context: Context, *, given: Input) -> Payload:
    """Give the addresses of files; content that is stored already needs no upload."""
    files = []
    for spec in given.artifact_files:
        if spec.upload_parts_input:
            raise rules.not_modelled("multipart uploads")
        artifact = _pending(context, spec.artifact_id, "createArtifactFiles")
        path = artifact_file_path(artifact.project_number, spec.md5)
        wanted = context.store.storage.get(path) is None
        files.append(upload(spec.name, path, context, wanted=wanted, artifact=artifact))
    return {"files": page(files)}


def _commit_artifact(context: Context, *, given: Input) -> Payload:
    """Commit a version; a second commit changes nothing."""
    artifact = _writable(context, given.artifact_id, "commitArtifact")
    if artifact.state == "PENDING":
        artifact.commit()
    return {"artifact": artifact}


def _use_artifact(context: Context, *, given: Input) -> Payload:
    run = context.writable_run(given.entity_name, given.project_name, given.run_name, "useArtifact")
    artifact = context.store.artifacts_by_id.get(given.artifact_id)
    if artifact is None or context.visible(artifact.sequence.entity) is None:
        raise rules.not_found(f"artifact {given.artifact_id}")
    run.use(artifact)
    return {"artifact": artifact}


def _update_artifact(context: Context, *, given: Input) -> Payload:
    """Edit a version's description, metadata, tags, aliases and lifetime."""
    artifact = _writable(context, given.artifact_id, "updateArtifact")
    if given.description is not None:
        artifact.description = given.description
    if given.metadata is not None:
        artifact.metadata = rules.parsed_metadata(given.metadata)
    if given.ttl_duration_seconds is not None:
        artifact.ttl_seconds = given.ttl_duration_seconds
    artifact.sequence.point(_aliases(given), artifact)
    removed = _tags(given.tags_to_delete)
    kept = [tag for tag in artifact.tags if tag not in removed]
    artifact.tags = list(dict.fromkeys([*kept, *_tags(given.tags_to_add)]))
    artifact.updated_at = context.now
    return {"artifact": artifact}


def _add_aliases(context: Context, *, given: Input) -> Payload:
    artifact = _writable(context, given.artifact_id, "addAliases")
    for each in given.aliases:
        _collection(context, each, "addAliases").point(rules.checked_aliases([each.alias]), artifact)
    return SUCCESS


def _delete_aliases(context: Context, *, given: Input) -> Payload:
    artifact = _writable(context, given.artifact_id, "deleteAliases")
    for each in given.aliases:
        collection = _collection(context, each, "deleteAliases")
        if each.alias in collection.aliases_of(artifact):
            collection.remove(each.alias)
    return SUCCESS


def _link_artifact(context: Context, *, given: Input) -> Payload:
    """Link a version to a portfolio. A missing project and a missing portfolio are created; a second link moves aliases."""
    store = context.store
    entity = context.writable(given.entity_name, "linkArtifact")
    artifact = store.artifacts_by_id.get(given.artifact_id) or store.artifacts_by_client_id.get(given.client_id)
    if artifact is None or artifact.state != "COMMITTED" or context.visible(artifact.sequence.entity) is None:
        raise rules.not_found(f"artifact {given.artifact_id or given.client_id}")
    project = store.add_project(entity.name, given.project_name or "", context.user)
    portfolio = store.add_collection(project, given.artifact_portfolio_name or "", artifact.type, portfolio=True)
    member = portfolio.membership_of(artifact) or portfolio.adopt(artifact)
    portfolio.point(_aliases(given), artifact)
    return {"versionIndex": member.index, "artifactMembership": member}


def _writable(context: Context, artifact_id: str, operation: str) -> Artifact:
    artifact = context.store.artifacts_by_id.get(artifact_id)
    if artifact is None:
        raise rules.not_found(f"artifact {artifact_id}")
    context.writable(artifact.sequence.entity, operation)
    return artifact


def _pending(context: Context, artifact_id: str, operation: str) -> Artifact:
    artifact = _writable(context, artifact_id, operation)
    if artifact.state != "PENDING":
        raise rules.invalid(f"artifact {artifact_id} is {artifact.state}, its content cannot change")
    return artifact


def _collection(context: Context, given: Input, operation: str) -> Collection:
    context.writable(given.entity_name, operation)
    project = context.store.project(given.entity_name, given.project_name)
    found = project.collections.get(given.artifact_collection_name) if project else None
    if found is None:
        raise rules.not_found(f"artifact collection {given.artifact_collection_name}")
    return found


def _aliases(given: Input) -> list[str]:
    return rules.checked_aliases(each.alias for each in given.aliases or ())


def _tags(tags: Sequence[Input] | None) -> list[str]:
    names = [tag.tag_name for tag in tags or ()]
    for name in names:
        rules.check_name("tag of an artifact", name)
    return names


MUTATIONS: Mapping[str, Callable[..., Payload]] = {
    "createArtifact": _create_artifact,
    "createArtifactManifest": _create_artifact_manifest,
    "createArtifactFiles": _create_artifact_files,
    "commitArtifact": _commit_artifact,
    "useArtifact": _use_artifact,
    "updateArtifact": _update_artifact,
    "addAliases": _add_aliases,
    "deleteAliases": _delete_aliases,
    "linkArtifact": _link_artifact,
}

"""The input objects of W&B's mutations as dataclasses; fields in snake case, one class per `input` of the schema.

None means "not said": W&B leaves as it is what a mutation sends as null.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpsertBucketInput:
    """A run, addressed by `id` (its storage id) or by entity, model (project) and name (run id)."""

    id: str | None = None
    name: str | None = None
    model_name: str | None = None
    entity_name: str | None = None
    group_name: str | None = None
    description: str | None = None
    display_name: str | None = None
    notes: str | None = None
    commit: str | None = None
    config: str | None = None
    host: str | None = None
    debug: bool | None = None
    job_program: str | None = None
    job_repo: str | None = None
    job_type: str | None = None
    state: str | None = None
    sweep: str | None = None
    tags: list[str] | None = None
    summary_metrics: str | None = None


@dataclass(frozen=True)
class DeleteRunInput:
    """A run by storage id."""

    id: str
    delete_artifacts: bool | None = None


@dataclass(frozen=True)
class UpdateRunStateInput:
    """A run by storage id, and the state it is to have."""

    id: str
    state: str


@dataclass(frozen=True)
class StopRunInput:
    """A run by storage id."""

    id: str


@dataclass(frozen=True)
class CreateRunFilesInput:
    """Names of files that a run is going to upload."""

    entity_name: str
    project_name: str
    run_name: str
    files: list[str]


@dataclass(frozen=True)
class DeleteFilesInput:
    """Files by id."""

    files: list[str]
    project_id: int | None = None


@dataclass(frozen=True)
class NotifyScriptableRunAlertInput:
    """What `run.alert` sends."""

    entity_name: str
    project_name: str
    run_name: str
    title: str
    text: str
    severity: str | None = None
    wait_duration: int | None = None


@dataclass(frozen=True)
class UpsertModelInput:
    """A project, made or edited."""

    id: str | None = None
    name: str | None = None
    entity_name: str | None = None
    description: str | None = None
    access: str | None = None
    views: str | None = None
    framework: str | None = None
    repo: str | None = None
    docker_image: str | None = None
    is_benchmark: bool | None = None
    is_published: bool | None = None
    owner: str | None = None
    allow_all_artifact_types_in_registry: bool | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class UpsertViewInput:
    """A saved view, over the one with this `id` or by names; `type` is "project-view" for a workspace."""

    id: str | None = None
    entity_name: str | None = None
    project_name: str | None = None
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    type: str | None = None
    spec: str | None = None
    created_using: str | None = None


@dataclass(frozen=True)
class ArtifactAliasInput:
    """An alias in a collection of the project that the mutation names."""

    artifact_collection_name: str
    alias: str


@dataclass(frozen=True)
class ArtifactCollectionAliasInput:
    """An alias in a collection named in full."""

    entity_name: str
    project_name: str
    artifact_collection_name: str
    alias: str


@dataclass(frozen=True)
class TagInput:
    """A tag."""

    tag_name: str
    tag_category_name: str | None = None
    attributes: str | None = None


@dataclass(frozen=True)
class CreateArtifactInput:
    """A version in the making."""

    entity_name: str
    project_name: str
    artifact_type_name: str
    digest: str
    run_name: str | None = None
    artifact_collection_name: str | None = None
    artifact_collection_names: list[str] | None = None
    digest_algorithm: str | None = None
    description: str | None = None
    labels: str | None = None
    metadata: str | None = None
    aliases: list[ArtifactAliasInput] | None = None
    tags: list[TagInput] | None = None
    client_id: str | None = None
    sequence_client_id: str | None = None
    enable_digest_deduplication: bool | None = None
    history_step: int | None = None
    distributed_id: str | None = None
    ttl_duration_seconds: int | None = None
    storage_region: str | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class CreateArtifactManifestInput:
    """The manifest of a version in the making."""

    artifact_id: str
    name: str
    digest: str
    entity_name: str
    project_name: str
    run_name: str
    base_artifact_id: str | None = None
    type: str | None = None


@dataclass(frozen=True)
class UploadPartsInput:
    """One part of a multipart upload."""

    part_number: int
    hex_md5: str


@dataclass(frozen=True)
class CreateArtifactFileSpecInput:
    """One file that a client is going to upload for a version."""

    artifact_id: str
    name: str
    md5: str
    digest: str | None = None
    artifact_manifest_id: str | None = None
    mimetype: str | None = None
    upload_parts_input: list[UploadPartsInput] | None = None


@dataclass(frozen=True)
class CreateArtifactFilesInput:
    """Several of them."""

    artifact_files: list[CreateArtifactFileSpecInput]
    storage_layout: str | None = None
    digest_algorithm: str | None = None
    cloud_region_id: str | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class CommitArtifactInput:
    """A version that is complete."""

    artifact_id: str


@dataclass(frozen=True)
class UseArtifactInput:
    """A version and the run that uses it."""

    artifact_id: str
    entity_name: str
    project_name: str
    run_name: str
    used_as: str | None = None
    artifact_entity_name: str | None = None
    artifact_project_name: str | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class UpdateArtifactInput:
    """Edits of a version."""

    artifact_id: str
    description: str | None = None
    labels: str | None = None
    metadata: str | None = None
    aliases: list[ArtifactAliasInput] | None = None
    tags_to_add: list[TagInput] | None = None
    tags_to_delete: list[TagInput] | None = None
    ttl_duration_seconds: int | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class DeleteArtifactInput:
    """A version that is to go."""

    artifact_id: str
    delete_aliases: bool | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class AddAliasesInput:
    """Aliases that a version is to have."""

    artifact_id: str
    aliases: list[ArtifactCollectionAliasInput]
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class DeleteAliasesInput:
    """Aliases that a version is to lose."""

    artifact_id: str
    aliases: list[ArtifactCollectionAliasInput]
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class LinkArtifactInput:
    """A version and the portfolio it goes into."""

    artifact_portfolio_name: str | None = None
    artifact_portfolio_id: str | None = None
    entity_name: str | None = None
    project_name: str | None = None
    aliases: list[ArtifactAliasInput] | None = None
    artifact_id: str | None = None
    client_id: str | None = None
    client_mutation_id: str | None = None


@dataclass(frozen=True)
class UnlinkArtifactInput:
    """A version and the portfolio it leaves."""

    artifact_id: str
    artifact_portfolio_id: str
    client_mutation_id: str | None = None


INPUTS: tuple[type, ...] = (
    UpsertBucketInput,
    DeleteRunInput,
    UpdateRunStateInput,
    StopRunInput,
    CreateRunFilesInput,
    DeleteFilesInput,
    NotifyScriptableRunAlertInput,
    UpsertModelInput,
    UpsertViewInput,
    ArtifactAliasInput,
    ArtifactCollectionAliasInput,
    TagInput,
    CreateArtifactInput,
    CreateArtifactManifestInput,
    UploadPartsInput,
    CreateArtifactFileSpecInput,
    CreateArtifactFilesInput,
    CommitArtifactInput,
    UseArtifactInput,
    UpdateArtifactInput,
    DeleteArtifactInput,
    AddAliasesInput,
    DeleteAliasesInput,
    LinkArtifactInput,
    UnlinkArtifactInput,
)

"""What versions before have called steps that a job may be in the middle of, since names are stored with the job.

A job that was begun then goes on, or back, by today's names. Whoever renames a step adds a line.
"""

from jobs.engine.kind import name_former_steps

# name@version of a kind: former name, name.
FORMER_STEPS = {
    "fleet.backup@1": {
        "backups_are_enqueued": "enqueue_backups",
        "all_are_backed_up": "wait_for_backups",
    },
    "fleet.migrate@1": {
        "projects_behind_are_enqueued": "enqueue_migrations",
        "projects_are_migrated": "wait_for_migrations",
    },
    "fleet.rotate@1": {
        "rotations_are_enqueued": "enqueue_rotations",
        "secrets_are_rotated": "wait_for_rotations",
    },
    "fleet.vacuum@1": {
        "active_projects_are_enqueued": "enqueue_vacuums",
        "projects_are_vacuumed": "wait_for_vacuums",
    },
    "fleet.verify@1": {
        "newest_backups_are_asked_for": "enqueue_verifications",
        "backups_are_verified": "wait_for_verifications",
    },
    "platform.backup@1": {
        "platform_backup_is_named": "name_backup",
        "platform_set_is_written": "write_backup",
        "platform_backup_is_listed": "list_backup",
    },
    "platform.offsite_sync@1": {
        "sets_are_copied": "copy_sets",
        "copies_are_right": "compare_copies",
        "old_copies_are_gone": "remove_old_copies",
    },
    "platform.prune@1": {
        "old_rows_are_deleted": "delete_old_rows",
    },
    "platform.retention@1": {
        "outlived_databases_are_asked_for": "enqueue_drops",
        "old_backups_are_gone": "remove_old_backups",
        "strays_are_gone": "remove_strays",
        "old_transfers_are_gone": "remove_old_transfers",
    },
    "platform.retire_secret@1": {
        "nothing_needs_it": "check_unused",
        "old_secret_is_gone": "retire_old_secret",
        "retirement_is_noted": "note_retirement",
        "forget_old_secret": "retire_old_secret",
    },
    "platform.rewrap_secrets@1": {
        "canary_is_resealed": "reseal_canary",
        "data_keys_are_rewrapped": "rewrap_data_keys",
        "earlier_keys_are_kept": "keep_earlier_keys",
        "nothing_needs_another_key": "check_rewrapped",
    },
    "platform.rotate_secret@1": {
        "new_secret_is_made": "generate_new_secret",
        "mail_is_taken": "try_mail",
        "rotation_is_begun": "note_begin",
        "new_secret_is_in_force": "switch_to_new_secret",
        "rotation_is_noted": "note_rotation",
        "nothing_lies_about": "remove_copy",
        "secrets_are_rewrapped": "wait_for_rewrapping",
        "rotation_is_told": "schedule_retirement",
        "make_new_secret": "generate_new_secret",
        "activate_new_secret": "switch_to_new_secret",
        "report": "schedule_retirement",
    },
    "platform.vacuum@1": {
        "platform_tables_are_vacuumed": "vacuum_platform_tables",
        "vacuum_tables": "vacuum_platform_tables",
    },
    "project.backup@1": {
        "backup_is_named": "name_backup",
        "set_is_written": "write_backup",
        "backup_is_listed": "list_backup",
    },
    "project.configure@1": {
        "version_is_noted": "read_settings",
        "database_is_right": "update_database",
        "pooler_is_right": "update_pooler",
        "data_api_is_right": "update_data_api",
        "round_trip_is_proven": "check_round_trip",
        "settings_are_in_force": "report_settings",
        "report": "report_settings",
    },
    "project.delete@1": {
        "final_backup_is_named": "name_last_backup",
        "final_backup_is_written": "write_last_backup",
        "withdraw_from_pooler": "remove_from_pooler",
        "final_backup_is_complete": "complete_last_backup",
        "final_backup_is_listed": "list_last_backup",
        "transfers_are_gone": "remove_transfers",
        "backups_are_purged": "purge_backups",
        "project_is_forgotten": "forget_project",
    },
    "project.export@1": {
        "backup_is_asked_for": "enqueue_backup",
        "backup_is_there": "wait_for_backup",
        "file_is_written": "write_file",
        "export_is_told": "forget_passphrase",
        "report": "forget_passphrase",
    },
    "project.extension@1": {
        "extension_is_as_wanted": "change_extension",
    },
    "project.forget_backup@1": {
        "files_are_gone": "remove_files",
        "backup_is_forgotten": "unlist_backup",
    },
    "project.forget_database@1": {
        "database_is_dropped": "drop_kept_database",
        "it_is_forgotten": "forget_kept_database",
    },
    "project.import@1": {
        "backup_is_named": "name_imported_backup",
        "file_is_taken_over": "take_over_file",
        "restore_is_asked_for": "enqueue_restore",
        "project_is_restored": "wait_for_restore",
        "file_is_removed": "remove_imported_file",
        "import_is_told": "report_import",
        "name_backup": "name_imported_backup",
        "remove_file": "remove_imported_file",
        "report": "report_import",
    },
    "project.mail@1": {
        "mail_is_accepted": "hand_over_mail",
    },
    "project.migrate@1": {
        "project_can_be_migrated": "check_migratable",
        "schema_is_newest": "apply_missing",
        "owners_migration_is_applied": "apply_owners_migration",
        "round_trip_is_proven": "check_round_trip",
        "migration_is_told": "note_template",
        "report": "note_template",
    },
    "project.pause@1": {
        "withdraw_from_pooler": "remove_from_pooler",
        "project_is_paused": "mark_paused",
    },
    "project.provision@1": {
        "publish_to_pooler": "add_to_pooler",
        "prove_round_trip": "check_round_trip",
    },
    "project.reconcile@1": {
        "faults_are_named": "find_differences",
        "roles_are_right": "update_roles",
        "database_is_right": "update_database",
        "objects_are_right": "update_schemas",
        "pooler_is_right": "update_pooler",
        "data_api_is_right": "update_data_api",
        "round_trip_is_proven": "check_round_trip",
        "healing_is_told": "report_healing",
        "report": "report_healing",
    },
    "project.restart@1": {
        "project_is_meant_to_run": "check_active",
        "prove_round_trip": "check_round_trip",
    },
    "project.restore@1": {
        "set_is_checked": "check_backup",
        "secrets_are_stored": "store_secrets",
        "roles_are_there": "create_roles",
        "copy_is_restored": "restore_copy",
        "database_is_swapped": "swap_database",
        "logins_are_admitted": "settle_logins",
        "pooler_serves_it": "add_to_pooler",
        "data_api_is_open": "open_data_api",
        "project_is_restored": "mark_restored",
        "allow_logins": "settle_logins",
    },
    "project.resume@1": {
        "publish_to_pooler": "add_to_pooler",
        "prove_round_trip": "check_round_trip",
        "project_is_active": "mark_active",
    },
    "project.retire_secret@1": {
        "old_secret_is_forgotten": "forget_old_secret",
        "data_api_has_forgotten_it": "wait_for_data_api",
    },
    "project.rotate_secret@1": {
        "new_secret_is_stored": "make_new_secret",
        "data_api_knows_both": "give_data_api_both",
        "roles_are_right": "set_passwords",
        "new_secret_is_in_force": "activate_new_secret",
        "data_api_is_right": "update_data_api",
        "round_trip_is_proven": "check_round_trip",
        "rotation_is_told": "report_rotation",
        "report": "report_rotation",
    },
    "project.sleep@1": {
        "project_is_asleep": "mark_sleeping",
        "data_api_is_closed": "close_data_api",
    },
    "project.undo_restore@1": {
        "database_is_swapped_back": "swap_database_back",
        "logins_are_admitted": "settle_logins",
        "restore_is_undone": "mark_undone",
        "allow_logins": "settle_logins",
    },
    "project.vacuum@1": {
        "tables_are_vacuumed": "vacuum_tables",
    },
    "project.verify_backup@1": {
        "backup_is_restored_on_trial": "restore_on_trial",
        "backup_is_verified": "mark_verified",
    },
    "project.wake@1": {
        "project_is_meant_to_serve": "check_sleeping",
        "prove_round_trip": "check_round_trip",
        "project_is_active": "mark_active",
    },
}

for _served, _names in FORMER_STEPS.items():
    name_former_steps(_served, _names)

"""Floor 4: what users do with a pool: sessions, migrations, the check at opening."""

# Invalid values of each variable.
mock_provider "aws" {}

variables {
  region          = "eu-central-1"
  zones           = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  admin_role_arns = ["arn:aws:iam::123456789012:role/platform"]
  kafka_password  = "0123456789abcdef-kafka"
  redis_password  = "0123456789abcdef-redis"
}

run "all_is_protected_unless_it_is_said_otherwise" {
  command = plan
  assert {
    condition     = aws_eks_cluster.this.deletion_protection
    error_message = "The cluster must refuse to be deleted."
  }
}

run "a_region_that_is_a_zone" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}

run "a_zone_twice" {
  command = plan
  variables {
    zones = ["eu-central-1a", "eu-central-1a", "eu-central-1b"]
  }
  expect_failures = [var.zones]
}

run "names_that_buckets_cannot_have_and_unknown_sizes" {
  command = plan
  variables {
    name = "Tickrec"
    size = "huge"
  }
  expect_failures = [var.name, var.size]
}

run "a_network_that_is_too_small" {
  command = plan
  variables {
    vpc_cidr = "10.60.0.0/24"
  }
  expect_failures = [var.vpc_cidr]
}

run "nobody_who_may_administer" {
  command = plan
  variables {
    admin_role_arns = []
  }
  expect_failures = [var.admin_role_arns]
}

run "the_whole_internet" {
  command = plan
  variables {
    kubernetes_api_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.kubernetes_api_cidrs]
}

run "short_passwords_and_such_that_break_a_url" {
  command = plan
  variables {
    kafka_password = "short"
    redis_password = "0123456789abcdef@redis"
  }
  expect_failures = [var.kafka_password, var.redis_password]
}

run "half_a_version_of_passwords" {
  command = plan
  variables {
    passwords_version = 1.5
  }
  expect_failures = [var.passwords_version]
}

run "no_address_and_no_period_of_cloudwatch" {
  command = plan
  variables {
    alarm_email        = "oncall"
    log_retention_days = 100
  }
  expect_failures = [var.alarm_email, var.log_retention_days]
}

run "versions_that_will_not_do" {
  command = plan
  variables {
    kafka_version      = "3.9.x"
    kubernetes_version = "1.35.2"
    valkey_version     = "7.2"
  }
  expect_failures = [var.kafka_version, var.kubernetes_version, var.valkey_version]
}
